//! `polder generate-config`.

use std::{collections::BTreeMap, time::SystemTime};

use serde_json::json;

use crate::{base::time::Utc, cli::context::Cx, env::Places};

pub(in crate::cli) fn run(cx: &Cx, verbose: bool, toml: bool) -> anyhow::Result<String> {
    let settings = &cx.config.settings;
    if !cx.for_people() {
        let mut sections: BTreeMap<&str, BTreeMap<&str, _>> = BTreeMap::new();
        for setting in settings.all.iter().filter(|s| verbose || s.text.is_some()) {
            let shown = setting.text.as_deref().filter(|_| setting.key.name != "libvirt_password");
            let section = if setting.key.section.is_empty() { "polder" } else { &setting.key.section };
            let value = json!({"value": shown, "from": setting.origin.to_string()});
            sections.entry(section).or_default().insert(&setting.key.name, value);
        }
        return cx.print(&sections);
    }
    let host = cx.host()?;
    let places = Places::of(&cx.config, &host.lab.cache);
    let resolved = |name: &str| {
        let path = match name {
            "cache_dir" => &host.lab.cache,
            "runtime_dir" => &host.lab.root,
            other => places.get(other)?,
        };
        Some(path.display().to_string())
    };
    let text = if toml { settings.to_toml(verbose, &resolved) } else { settings.to_ini(verbose, &resolved) };
    Ok(format!("# Generated on {}\n{}", Utc::from(SystemTime::now()), text.trim_end()))
}
