//! How a machine is told who it is: by the quickest way in which it listens. What it is told is `identity.rs`.

use super::{
    disk::{self, Root},
    error::PlanError,
    identity,
    machine::Planner,
    model::{Bootstrap, DiskPlan, IdentityFrom},
};
use crate::{
    provider::spec::DomainDisk,
    sysprep::{self, Found},
};

/// How a machine is told who it is.
pub(super) struct Told {
    pub(super) from: IdentityFrom,
    /// Where on its disk that is written, if it is: in the ext file system that begins there, or wherever it has to be.
    onto: Option<Option<u64>>,
    pub(super) why: Option<String>,
}

impl Told {
    pub(super) fn of(from: IdentityFrom) -> Self {
        Self { from, onto: None, why: None }
    }
}

impl Planner<'_> {
    /// Tells it who it is, in the way it listens to.
    pub(super) fn tell(
        &self,
        root: Root<'_>,
        disks: &mut Vec<DomainDisk>,
        plans: &mut Vec<DiskPlan>,
        oem_strings: &mut Vec<String>,
    ) -> Result<Told, PlanError> {
        let told = self.way(root, plans.first());
        let asked = self.spec.cloud_init.is_some();
        if told.from == IdentityFrom::Itself && told.onto.is_none() && !asked {
            return Ok(told);
        }
        let who = identity::identity(self.spec, self.nics, self.nets, self.inputs)?;
        if told.from == IdentityFrom::Smbios {
            *oem_strings = who.oem_strings();
        }
        if let (Some(file_system), Some(first)) = (told.onto, plans.first_mut()) {
            let actions = sysprep::actions(self.distro().as_deref(), &who);
            first.bootstrap = Some(Bootstrap { file_system, actions });
        }
        if asked || told.from == IdentityFrom::CloudInit {
            let (disk, plan) =
                disk::seed(self.spec, disks, identity::seed(self.spec, &who, self.inputs), self.inputs)?;
            disks.push(disk);
            plans.push(plan);
        }
        Ok(told)
    }

    /// The way in which it listens: the quickest there is.
    fn way(&self, root: Root<'_>, first: Option<&DiskPlan>) -> Told {
        if let Root::Ours(_) = root {
            return Told::of(IdentityFrom::Smbios);
        }
        if self.spec.cloud_init.is_some() {
            return Told::of(IdentityFrom::CloudInit);
        }
        if !self.spec.bootstrap || !matches!(root, Root::Foreign) {
            return Told::of(IdentityFrom::Itself);
        }
        // What is not made for it cannot be written to.
        let found =
            disk::found(self.spec, self.inputs).filter(|_| first.is_some_and(|disk| disk.image.is_some()));
        let distro = self.distro();
        let takes_key = sysprep::takes_host_key(distro.as_deref());
        let onto = if takes_key { IdentityFrom::Disk } else { IdentityFrom::Itself };
        let of_old = distro.filter(|distro| sysprep::DISTROS.contains(&distro.as_str()));
        let (from, onto, why) = match (found, of_old) {
            (None, _) => return Told::of(IdentityFrom::CloudInit),
            (Some(Found { root: Some(at), cloud_init: Some(false), .. }), _) => {
                let why = "by files written to its ext file system, because cloud-init is not on it";
                (onto, Some(Some(*at)), why.to_owned())
            }
            (Some(Found { root: None, .. }), Some(distro)) => {
                let why = format!(
                    "by virt-customize, because its disk cannot be looked into and is said to be `{distro}`"
                );
                (onto, Some(None), why)
            }
            (Some(Found { root: None, .. }), None) => {
                let why = "by cloud-init, if that is there: its disk cannot be looked into";
                (IdentityFrom::CloudInit, None, why.to_owned())
            }
            (Some(_), _) => (IdentityFrom::CloudInit, None, "by cloud-init, which is on its disk".to_owned()),
        };
        Told { from, onto, why: Some(format!("told who it is {why}")) }
    }
}
