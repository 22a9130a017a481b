//! What kind of processors a domain has, and how they are arranged.

use super::{domain::of, element::Element};
use crate::provider::spec::{CpuModel, DomainSpec};

pub(super) fn cpu(spec: &DomainSpec) -> Element {
    let cpu = &spec.cpu;
    let topology = cpu.topology.map(|topology| {
        let sockets = Element::new("topology").with("sockets", topology.sockets);
        sockets.with("cores", topology.cores).with("threads", topology.threads)
    });
    match &cpu.model {
        // Without KVM the default CPU lacks instructions that today's distributions are built for.
        CpuModel::Best => {
            Element::new("cpu").with("mode", if spec.kvm { "host-passthrough" } else { "maximum" })
        }
        CpuModel::Exact { name, feature } => {
            let cpu =
                Element::new("cpu").with("mode", "custom").with("match", "exact").of([of("model", name)]);
            let require = |name| Element::new("feature").with("policy", "require").with("name", name);
            return cpu.of(topology).of(feature.as_ref().map(require));
        }
        CpuModel::Custom(cpu) => cpu.clone(),
    }
    .of(topology)
    .of((cpu.cells > 1).then(|| numa(spec)))
}

/// Cells of as many CPUs each. The emulator wants whole MiB that add up: what does not divide goes to the first ones.
fn numa(spec: &DomainSpec) -> Element {
    let cells = spec.cpu.cells;
    let each = spec.vcpus / cells;
    Element::new("numa").of((0..cells).map(|id| {
        let (first, last) = (id * each, (id + 1) * each - 1);
        let cpus = if first == last { first.to_string() } else { format!("{first}-{last}") };
        let memory = spec.memory_mib / cells + u32::from(id < spec.memory_mib % cells);
        Element::new("cell").with("id", id).with("cpus", cpus).with("memory", memory).with("unit", "MiB")
    }))
}
