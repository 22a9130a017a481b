//! The `polder` command with one of each extension.

use std::{path::Path, process::ExitCode, sync::Arc};

use anyhow::ensure;
use extension::{Files, Small};
use polder::{
    base::dial::BoxFuture,
    cli::{Extensions, OutputFormat},
    env::MachineType,
    initfile::spec::MachineSpec,
    template::{FetchCx, Metadata, TemplateError, TemplateSource},
};
use serde_json::Value;

fn main() -> ExitCode {
    Extensions::default()
        .output_format(Count)
        .machine_type(Router)
        .template_source("made-up", Arc::new(|_| Ok(Arc::new(MadeUp))))
        .machine_provider(Files)
        .service_manager(Small)
        .main()
}

/// Prints how many parts a result has.
#[derive(Debug)]
struct Count;

impl OutputFormat for Count {
    fn name(&self) -> &str {
        "count"
    }
    fn format(&self, value: &Value) -> anyhow::Result<String> {
        Ok(value.as_array().map_or(1, Vec::len).to_string())
    }
}

/// Routers keep their configuration, and have two interfaces at least.
#[derive(Debug)]
struct Router;

impl MachineType for Router {
    fn name(&self) -> &str {
        "router"
    }
    fn shape(&self, machine: &mut MachineSpec) -> anyhow::Result<()> {
        ensure!(machine.nics.len() >= 2, "it has fewer than two NICs");
        machine.artifacts.push("/etc/frr/frr.conf".into());
        Ok(())
    }
}

/// Images nobody has to store: a mebibyte of nothing.
#[derive(Debug)]
struct MadeUp;

const SIZE: usize = 1024 * 1024;

impl TemplateSource for MadeUp {
    fn place(&self, handle: &str) -> String {
        format!("made-up {handle}")
    }
    fn hash<'a>(&'a self, _: &'a str, _: &'a FetchCx) -> BoxFuture<'a, Result<String, TemplateError>> {
        Box::pin(async { Ok("3b71f43ff30f4b15b5cd85dd9e95ebc7e84eb5a3".into()) })
    }
    fn metadata<'a>(&'a self, _: &'a str, _: &'a FetchCx) -> BoxFuture<'a, Result<Metadata, TemplateError>> {
        Box::pin(async { Ok(Metadata::default()) })
    }
    fn fetch<'a>(
        &'a self,
        _: &'a str,
        to: &'a Path,
        _: &'a FetchCx,
    ) -> BoxFuture<'a, Result<bool, TemplateError>> {
        Box::pin(async move {
            std::fs::write(to, vec![0; SIZE]).expect("the store can be written");
            Ok(false)
        })
    }
}
