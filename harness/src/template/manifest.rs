//! The manifest of a template repository: read, checked, looked up. Pure; where the text comes from is not known here.

use std::{collections::BTreeMap, path::PathBuf};

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{error::TemplateError, spec::TemplateId};
use crate::base::text::did_you_mean;

/// A repository: its templates in their versions and where their images are.
#[derive(Debug, Clone, Deserialize)]
pub struct Manifest {
    /// Name of the repository, part of the names in the store.
    pub name: String,
    /// Places images come from, by name.
    #[serde(default)]
    pub sources: BTreeMap<String, SourceSpec>,
    /// Templates by name.
    #[serde(default)]
    pub templates: BTreeMap<String, TemplateSpec>,
    /// Where it was read from, for messages.
    #[serde(skip)]
    pub origin: String,
    /// The folder it lies in, when it is a file; relative roots begin there.
    #[serde(skip)]
    pub folder: Option<PathBuf>,
}

/// A place images come from.
#[derive(Debug, Clone, Deserialize)]
pub struct SourceSpec {
    /// `file`, `http`, or what an extension registered.
    #[serde(rename = "type")]
    pub kind: String,
    /// Arguments of the source, such as `root` or `baseurl`.
    #[serde(default)]
    pub args: Map<String, Value>,
}

/// A template.
#[derive(Debug, Clone, Deserialize)]
pub struct TemplateSpec {
    /// Its versions by name.
    #[serde(default)]
    pub versions: BTreeMap<String, VersionSpec>,
}

/// One version of a template.
#[derive(Debug, Clone, Deserialize)]
pub struct VersionSpec {
    /// Name of the source.
    pub source: String,
    /// What the source calls the image.
    pub handle: String,
    /// Seconds since the epoch; the newest version is the one with the largest.
    pub timestamp: f64,
}

impl Manifest {
    /// Reads and checks a manifest; `origin` is how messages name it, `kinds` are the known types of sources.
    ///
    /// # Errors
    /// Not JSON of the right shape (with line and column), or everything else that is wrong with it.
    pub fn parse(
        text: &str,
        origin: &str,
        folder: Option<PathBuf>,
        kinds: &[&str],
    ) -> Result<Self, TemplateError> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let parsed: Self = serde_json::from_str(text)
            .map_err(|source| TemplateError::ManifestSyntax { origin: origin.to_owned(), source })?;
        let manifest = Self { origin: origin.to_owned(), folder, ..parsed };
        let problems = manifest.problems(kinds);
        if problems.is_empty() {
            Ok(manifest)
        } else {
            Err(TemplateError::Manifest { origin: origin.to_owned(), problems })
        }
    }

    /// The template `name` in `version`, or in its newest one.
    ///
    /// # Errors
    /// There is no such template or version; what there is, and what was probably meant.
    pub fn find(
        &self,
        name: &str,
        version: Option<&str>,
    ) -> Result<(TemplateId, &VersionSpec), TemplateError> {
        let template = self.templates.get(name).ok_or_else(|| TemplateError::UnknownTemplate {
            name: name.to_owned(),
            origin: self.origin.clone(),
            hint: hint(name, self.templates.keys()),
        })?;
        let found = match version {
            Some(version) => template.versions.get_key_value(version),
            None => template.versions.iter().max_by(|a, b| a.1.timestamp.total_cmp(&b.1.timestamp)),
        };
        let (version, spec) = found.ok_or_else(|| TemplateError::UnknownVersion {
            template: name.to_owned(),
            version: version.unwrap_or("newest").to_owned(),
            origin: self.origin.clone(),
            hint: hint(version.unwrap_or_default(), template.versions.keys()),
        })?;
        Ok((self.id(name, version), spec))
    }

    /// All versions of all templates.
    pub fn versions(&self) -> impl Iterator<Item = (TemplateId, &VersionSpec)> {
        self.templates.iter().flat_map(move |(name, template)| {
            template.versions.iter().map(move |(version, spec)| (self.id(name, version), spec))
        })
    }

    fn id(&self, template: &str, version: &str) -> TemplateId {
        TemplateId { repo: self.name.clone(), template: template.to_owned(), version: version.to_owned() }
    }

    fn problems(&self, kinds: &[&str]) -> Vec<String> {
        let mut problems = Vec::new();
        let mut part = |what: &str, name: &str, colon: bool| {
            if let Some(problem) = bad_part(name, colon) {
                problems.push(format!("the {what} {problem}"));
            }
        };
        part("repository's name", &self.name, false);
        for (name, template) in &self.templates {
            part("template's name", name, false);
            template.versions.keys().for_each(|version| part("version's name", version, true));
        }
        for (name, source) in &self.sources {
            if !kinds.contains(&source.kind.as_str()) {
                let hint = hint(&source.kind, kinds);
                problems.push(format!("source `{name}` has the unknown type `{}`; {hint}", source.kind));
            }
        }
        for (name, template) in &self.templates {
            if template.versions.is_empty() {
                problems.push(format!("template `{name}` has no versions"));
            }
            for (version, spec) in &template.versions {
                if !self.sources.contains_key(&spec.source) {
                    let hint = hint(&spec.source, self.sources.keys());
                    let source = &spec.source;
                    problems.push(format!(
                        "template `{name}`, version `{version}`: there is no source `{source}`; {hint}"
                    ));
                }
                if spec.handle.is_empty() {
                    problems.push(format!("template `{name}`, version `{version}`: its handle is empty"));
                }
            }
        }
        problems
    }
}

/// What is wrong with a part of a file name in the store.
pub(super) fn bad_part(name: &str, colon: bool) -> Option<String> {
    if name.is_empty() {
        return Some("is empty".into());
    }
    if let Some(found) = name.chars().find(|c| *c == '/' || c.is_control() || (*c == ':' && !colon)) {
        return Some(format!("`{name}` contains {found:?}, which names of files in the store cannot have"));
    }
    name.starts_with('.').then(|| format!("`{name}` begins with a dot"))
}

/// What was probably meant, or all there is.
pub(super) fn hint<S: AsRef<str>>(typed: &str, known: impl IntoIterator<Item = S>) -> String {
    let known: Vec<String> = known.into_iter().map(|name| name.as_ref().to_owned()).collect();
    match did_you_mean(typed, known.iter().map(String::as_str)) {
        Some(name) => format!("did you mean `{name}`?"),
        None if known.is_empty() => "there are none".into(),
        None => format!("there are: {}", known.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"{
        "name": "corp", "x-made-by": "hand",
        "sources": {
            "web": {"type": "http", "args": {"baseurl": "http://images.example.test/"}},
            "local": {"type": "file", "args": {"root": "$HOME/images"}}
        },
        "templates": {
            "el-base": {"versions": {
                "v1": {"source": "web", "handle": "el-1.qcow2", "timestamp": 1500000000},
                "v10": {"source": "local", "handle": "el/10.qcow2", "timestamp": 1500009000.5},
                "v9": {"source": "local", "handle": "el/9.qcow2", "timestamp": 1500009000}
            }},
            "debian": {"versions": {"a": {"source": "web", "handle": "d", "timestamp": 1}}}
        }
    }"#;

    fn parse(text: &str) -> Result<Manifest, TemplateError> {
        Manifest::parse(text, "/r/repo.json", None, &["file", "http"])
    }

    #[rstest::rstest]
    #[case("el-base", None, Ok("corp:el-base:v10"))]
    #[case("el-base", Some("v1"), Ok("corp:el-base:v1"))]
    #[case("debian", None, Ok("corp:debian:a"))]
    #[case("el-bas", None, Err("no template `el-bas` in /r/repo.json; did you mean `el-base`?"))]
    #[case("windows", None, Err("no template `windows` in /r/repo.json; there are: debian, el-base"))]
    #[case(
        "el-base",
        Some("v11"),
        Err("template `el-base` has no version `v11` in /r/repo.json; did you mean `v1`?")
    )]
    fn lookups(#[case] name: &str, #[case] version: Option<&str>, #[case] expected: Result<&str, &str>) {
        let manifest = parse(GOOD).unwrap();
        let found = manifest.find(name, version).map(|(id, _)| id.to_string()).map_err(|e| e.to_string());
        assert_eq!(found.as_deref().map_err(String::as_str), expected);
    }

    #[test]
    fn everything_wrong_is_told_at_once() {
        let error = parse(
            r#"{"name": "a:b",
                "sources": {"s": {"type": "htp"}},
                "templates": {
                    "t/u": {"versions": {"v": {"source": "z", "handle": "", "timestamp": 1}}},
                    "empty": {"versions": {}}
                }}"#,
        );
        insta::assert_snapshot!(error.unwrap_err(), @r"
        manifest /r/repo.json: the repository's name `a:b` contains ':', which names of files in the store cannot have
        manifest /r/repo.json: the template's name `t/u` contains '/', which names of files in the store cannot have
        manifest /r/repo.json: source `s` has the unknown type `htp`; did you mean `http`?
        manifest /r/repo.json: template `empty` has no versions
        manifest /r/repo.json: template `t/u`, version `v`: there is no source `z`; there are: s
        manifest /r/repo.json: template `t/u`, version `v`: its handle is empty
        ");
    }

    #[rstest::rstest]
    #[case("", "EOF while parsing a value at line 1 column 0")]
    #[case("{\n  \"name\": \"x\",\n}", "trailing comma at line 3 column 1")]
    #[case("{}", "missing field `name`")]
    #[case(r#"{"name": 1}"#, "invalid type: integer `1`, expected a string at line 1 column 10")]
    #[case(r#"{"name": "x", "templates": {"t": {"versions": {"v": {}}}}}"#, "missing field `source`")]
    #[case("<html></html>", "expected value at line 1 column 1")]
    fn what_is_no_manifest_says_where(#[case] text: &str, #[case] cause: &str) {
        let error = parse(text).unwrap_err();
        let source = std::error::Error::source(&error).unwrap().to_string();
        assert!(source.contains(cause), "{source}");
        assert!(error.to_string().contains("/r/repo.json"), "{error}");
    }
}
