//! Parts of a plan: some devices, some changes. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::plan::{Plan, PlanError, Planned, PlannedSet};
use crate::base::text::did_you_mean;

impl Plan {
    /// The names that can be chosen: those of changes and scenarios, each scenario before what is in it.
    pub(crate) fn names(&self) -> Vec<String> {
        fn gather(set: &PlannedSet, names: &mut Vec<String>) {
            names.push(set.name.clone());
            for member in set.waves.iter().flatten() {
                match member {
                    Planned::Set(inner) => gather(inner, names),
                    Planned::Step(step) => names.push(step.step.name.to_string()),
                }
            }
        }
        let mut names = Vec::new();
        gather(&self.root, &mut names);
        names
    }

    /// The same plan on these devices alone; on all, if none are named.
    ///
    /// # Errors
    /// With all names that no device has.
    pub fn on(mut self, devices: &[String]) -> Result<Self, PlanError> {
        if devices.is_empty() {
            return Ok(self);
        }
        let known: BTreeSet<&str> = self.devices.iter().map(|device| device.name.as_str()).collect();
        let problems = unknown("device", devices, &known);
        if !problems.is_empty() {
            return Err(PlanError { problems });
        }
        keep(&mut self.root, devices);
        Ok(self)
    }

    /// The names of the changes that are left out where only some are wanted, or some are not. The name of a scenario stands
    /// for all that is in it.
    ///
    /// # Errors
    /// With all names that no change or scenario has.
    pub fn left_out(&self, only: &[String], skip: &[String]) -> Result<Vec<String>, PlanError> {
        // For each name the changes that it stands for.
        let mut named = BTreeMap::new();
        gather(&self.root, &mut named);
        let known: BTreeSet<&str> = named.keys().copied().collect();
        let problems: Vec<String> = [only, skip].map(|names| unknown("change", names, &known)).concat();
        if !problems.is_empty() {
            return Err(PlanError { problems });
        }
        let stand_for = |names: &[String]| -> BTreeSet<&str> {
            names.iter().filter_map(|name| named.get(name.as_str())).flatten().copied().collect()
        };
        let (wanted, unwanted) = (stand_for(only), stand_for(skip));
        let names = self.steps().into_iter().map(|step| step.step.name.as_str());
        let left_out =
            names.filter(|name| unwanted.contains(name) || !only.is_empty() && !wanted.contains(name));
        Ok(left_out.map(str::to_owned).collect())
    }
}

fn keep(set: &mut PlannedSet, devices: &[String]) {
    for member in set.waves.iter_mut().flatten() {
        match member {
            Planned::Set(inner) => keep(inner, devices),
            Planned::Step(step) => step.units.retain(|unit| devices.contains(&unit.device)),
        }
    }
}

fn gather<'p>(set: &'p PlannedSet, named: &mut BTreeMap<&'p str, Vec<&'p str>>) -> Vec<&'p str> {
    let mut all = Vec::new();
    for member in set.waves.iter().flatten() {
        match member {
            Planned::Set(inner) => all.extend(gather(inner, named)),
            Planned::Step(step) => {
                let name = step.step.name.as_str();
                named.insert(name, vec![name]);
                all.push(name);
            }
        }
    }
    named.insert(&set.name, all.clone());
    all
}

fn unknown(what: &str, names: &[String], known: &BTreeSet<&str>) -> Vec<String> {
    let missing = names.iter().filter(|name| !known.contains(name.as_str()));
    let message = |name: &String| {
        let near = did_you_mean(name, known.iter().copied());
        let help = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
        format!("there is no {what} `{name}`{help}")
    };
    missing.map(message).collect()
}

#[cfg(test)]
mod tests {
    use std::{io, path::Path};

    use crate::change::{Plan, Vars, parse, plan};

    fn planned() -> Plan {
        let text = "version: 1\ndrivers: { n: { kind: 'null' } }\ndevices: { sw1: {}, sw2: {} }\nscenario:\n  name: all\n  \
                    nodes:\n    - { step: a, targets: all }\n    - scenario: inner\n      nodes: [ { step: b, targets: all }, \
                    { step: c, targets: [sw1] } ]\n";
        let read = |_: &Path| Err(io::Error::other("no files"));
        let loaded = parse(Path::new("x"), Path::new("/"), text, &Vars::new(), &read).unwrap();
        plan(&loaded.changes, &Vars::new()).unwrap()
    }

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[rstest::rstest]
    #[case("", "", "")]
    #[case("inner", "", "a")]
    #[case("", "inner", "b c")]
    #[case("inner", "c", "a c")]
    #[case("a b", "", "c")]
    fn scenarios_stand_for_what_is_in_them(#[case] only: &str, #[case] skip: &str, #[case] left: &str) {
        assert_eq!(planned().left_out(&words(only), &words(skip)).unwrap(), words(left));
    }

    #[test]
    fn names_of_nothing_are_all_told() {
        let error = planned().left_out(&words("iner d"), &words("e")).unwrap_err();
        assert_eq!(error.problems.len(), 3);
        assert!(error.problems[0].ends_with("`iner`; did you mean `inner`?"), "{error}");
        let error = planned().on(&words("sw1 sw9")).unwrap_err().to_string();
        assert!(error.contains("there is no device `sw9`"), "{error}");
        let on = planned().on(&words("sw2")).unwrap();
        let units: Vec<usize> = on.steps().iter().map(|step| step.units.len()).collect();
        assert_eq!((units, planned().digest() == on.digest()), (vec![1, 1, 0], false));
    }
}
