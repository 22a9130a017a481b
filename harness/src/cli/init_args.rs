//! Arguments of the verbs that read an init file.

use std::path::{Path, PathBuf};

use clap::Args as Group;

use crate::workdir::paths::{FOLDER, INIT_FILE};

/// Options of `init` and `up`.
#[derive(Debug, Group)]
pub(super) struct InitArgs {
    /// The workdir [default: `--workdir-path`, else .polder], if two are given, then the init file [default:
    /// LagoInitFile].
    #[arg(value_names = ["WORKDIR", "FILE"], num_args = 0..=2)]
    paths: Vec<PathBuf>,
    /// Make the new prefix the current one.
    #[arg(long)]
    pub(super) set_current: bool,
    /// Do not prepare disks before their first boot.
    #[arg(long)]
    pub(super) skip_bootstrap: bool,
    /// Leave out the build steps of disks (this version runs none).
    #[arg(long)]
    pub(super) skip_build: bool,
    #[command(flatten)]
    pub(super) reading: Reading,
}

/// Options of `plan`.
#[derive(Debug, Group)]
pub(super) struct PlanArgs {
    /// The init file.
    #[arg(default_value = INIT_FILE)]
    pub(super) file: PathBuf,
    /// Print what the state comes from in which its machines are once they are up, line by line, and the digest of that
    #[arg(long)]
    pub(super) explain_key: bool,
    #[command(flatten)]
    pub(super) reading: Reading,
}

/// Options of `validate`.
#[derive(Debug, Group)]
pub(super) struct ValidateArgs {
    /// The init file.
    #[arg(default_value = INIT_FILE)]
    pub(super) file: PathBuf,
    /// Print it as JSON, as `--out-format json` does.
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) reading: Reading,
}

/// How init files are read.
#[derive(Debug, Default, Group)]
pub(super) struct Reading {
    /// Unknown keys of the init file are warnings, not errors.
    #[arg(long)]
    pub(super) allow_unknown: bool,
    /// A value for a variable of the init file; it wins over the environment's.
    #[arg(long = "var", value_name = "NAME=VALUE", value_parser = assignment)]
    pub(super) variables: Vec<(String, String)>,
    #[command(flatten)]
    templates: TemplateFlags,
}

/// Where templates come from. Keys of the configuration, read from the matches (`flags.rs`).
#[derive(Debug, Default, Group)]
pub(super) struct TemplateFlags {
    /// The template repository: a file or a URL.
    #[arg(long, global = true, value_name = "PATH")]
    template_repo_path: Option<String>,
    /// The template repository, by its name among those that were added.
    #[arg(long, global = true, value_name = "NAME")]
    template_repo_name: Option<String>,
    /// Where template images are kept.
    #[arg(long, global = true, value_name = "DIR")]
    template_store: Option<PathBuf>,
    /// Where template repositories are kept.
    #[arg(long, global = true, value_name = "DIR")]
    template_repos: Option<PathBuf>,
}

impl InitArgs {
    /// Workdir and init file; `configured` is the workdir of the global option. One path is the init file.
    pub(super) fn paths(&self, configured: Option<&Path>) -> (PathBuf, PathBuf) {
        let workdir = || configured.unwrap_or(Path::new(FOLDER)).to_owned();
        match self.paths.as_slice() {
            [] => (workdir(), INIT_FILE.into()),
            [file] => (workdir(), file.clone()),
            [workdir, file, ..] => (workdir.clone(), file.clone()),
        }
    }
}

pub(super) fn assignment(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.into(), value.into())),
        _ => Err("write NAME=VALUE".into()),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        init: InitArgs,
    }

    #[rstest::rstest]
    #[case(&[], None, ".polder", "LagoInitFile")]
    #[case(&["f"], None, ".polder", "f")]
    #[case(&["f"], Some("/w"), "/w", "f")]
    #[case(&["w", "f"], Some("/w"), "w", "f")]
    fn one_path_is_the_file_and_two_are_workdir_and_file(
        #[case] typed: &[&str],
        #[case] configured: Option<&str>,
        #[case] workdir: &str,
        #[case] file: &str,
    ) {
        let line = Line::try_parse_from(["polder"].iter().chain(typed)).unwrap();
        assert_eq!(line.init.paths(configured.map(Path::new)), (workdir.into(), file.into()));
    }
}
