//! Which CPU models libvirt knows, and what the host's own CPU is.

use std::{collections::BTreeMap, fs, path::Path};

use super::xml::Element;

/// Where libvirt keeps its models.
const MAP: &str = "/usr/share/libvirt/cpu_map";

/// CPU models and the host's CPU.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cpus {
    /// The models of x86, each with its vendor if it has one; empty when libvirt's list cannot be read.
    pub models: BTreeMap<String, Option<String>>,
    /// The host's vendor, and its feature for running machines in machines (`vmx` or `svm`), if it has that.
    pub host: Option<(String, String)>,
}

impl Cpus {
    /// Those of this host.
    #[must_use]
    pub fn of_host() -> Self {
        let read = |path: &Path| fs::read_to_string(path).ok();
        let models = models(&|file| read(&Path::new(MAP).join(file)));
        Self { models, host: read(Path::new("/proc/cpuinfo")).and_then(|info| host(&info)) }
    }

    /// The feature that lets a machine of that model run machines itself, if the host's CPU is of the same vendor.
    #[must_use]
    pub fn nesting(&self, model: &str) -> Option<&str> {
        let (vendor, feature) = self.host.as_ref()?;
        (self.models.get(model)?.as_ref() == Some(vendor)).then_some(feature)
    }
}

/// From an index with the names of the other files.
fn models(read: &dyn Fn(&str) -> Option<String>) -> BTreeMap<String, Option<String>> {
    let parse = |file: &str| Element::parse(&read(file)?).ok();
    let Some(index) = parse("index.xml") else { return BTreeMap::new() };
    let x86 = index.children.iter().filter(|arch| arch.get("name") == Some("x86"));
    let mut known = BTreeMap::new();
    for file in x86.flat_map(|arch| &arch.children).filter_map(|include| include.get("filename")) {
        for model in parse(file).iter().flat_map(|map| &map.children).filter(|e| e.name == "model") {
            let vendor = model.child("vendor").and_then(|vendor| vendor.get("name"));
            if let Some(name) = model.get("name") {
                known.insert(name.to_owned(), vendor.map(str::to_owned));
            }
        }
    }
    known
}

fn host(cpuinfo: &str) -> Option<(String, String)> {
    let of = |key: &str| {
        let mut lines = cpuinfo.lines().filter_map(|line| line.split_once(':'));
        lines.find_map(|(name, value)| (name.trim() == key).then(|| value.trim()))
    };
    let (vendor, feature) = match of("vendor_id")? {
        "GenuineIntel" => ("Intel", "vmx"),
        "AuthenticAMD" => ("AMD", "svm"),
        _ => return None,
    };
    let has = of("flags")?.split_whitespace().any(|flag| flag == feature);
    has.then(|| (vendor.to_owned(), feature.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(file: &str) -> Option<String> {
        let text = match file {
            "index.xml" => {
                "<cpus><arch name='x86'><include filename='a.xml'/><include filename='gone.xml'/><include filename='b.xml'/></arch>\
                 <arch name='ppc64'><include filename='p.xml'/></arch></cpus>"
            }
            "a.xml" => "<cpus><model name='Westmere'><vendor name='Intel'/><feature name='aes'/></model></cpus>",
            "b.xml" => "<cpus><model name='qemu64'/><model name='EPYC'><vendor name='AMD'/></model></cpus>",
            "p.xml" => "<cpus><model name='POWER9'/></cpus>",
            _ => return None,
        };
        Some(text.to_owned())
    }

    const INTEL: &str = "processor\t: 0\nvendor_id\t: GenuineIntel\nflags\t\t: fpu vmx sse\n";

    #[test]
    fn nesting_is_for_models_of_the_hosts_vendor() {
        let cpus = Cpus { models: models(&read), host: host(INTEL) };
        assert_eq!(cpus.models.keys().collect::<Vec<_>>(), ["EPYC", "Westmere", "qemu64"]);
        let of = |model| cpus.nesting(model);
        assert_eq!((of("Westmere"), of("EPYC"), of("qemu64"), of("nix")), (Some("vmx"), None, None, None));
    }

    #[rstest::rstest]
    #[case::no_feature("vendor_id : AuthenticAMD\nflags : fpu vmx", None)]
    #[case::amd("vendor_id : AuthenticAMD\nflags : fpu svm", Some(("AMD", "svm")))]
    #[case::other("vendor_id : CentaurHauls\nflags : vmx", None)]
    #[case::nothing("", None)]
    fn the_host_is_what_its_kernel_says(#[case] cpuinfo: &str, #[case] expected: Option<(&str, &str)>) {
        let found = host(cpuinfo);
        assert_eq!(found.as_ref().map(|(vendor, feature)| (vendor.as_str(), feature.as_str())), expected);
    }

    #[test]
    fn without_a_map_there_are_no_models() {
        assert!(models(&|_| None).is_empty());
    }

    #[test]
    fn libvirts_own_map_is_read() {
        assert!(Cpus::of_host().models.get("Westmere").is_some_and(|vendor| vendor.as_deref() == Some("Intel")));
    }
}
