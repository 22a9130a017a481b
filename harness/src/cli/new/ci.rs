//! Recipes for CI services, each with two lines that say what is tested. Makes texts and nothing else.

use clap::ValueEnum;

use super::name::Name;

/// A service that runs suites.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum Ci {
    /// .github/workflows/polder.yml
    Github,
    /// .gitlab-ci.yml
    Gitlab,
    /// Jenkinsfile
    Jenkins,
    /// None of them.
    None,
}

impl Ci {
    /// The file that it reads, in the repository's root folder, and what is in it for the suite in the folder `project`.
    pub(super) fn file(self, project: &str, name: &Name) -> Option<(&'static str, String)> {
        let (path, recipe, assigned) = match self {
            Self::Github => (".github/workflows/polder.yml", include_str!("github.yml"), ": "),
            Self::Gitlab => (".gitlab-ci.yml", include_str!("gitlab.yml"), ": "),
            Self::Jenkins => ("Jenkinsfile", include_str!("Jenkinsfile"), " = "),
            Self::None => return None,
        };
        let quoted = |text: &str| match self {
            Self::Jenkins => format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'")),
            _ if text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-/".contains(&byte)) => {
                text.to_owned()
            }
            _ => format!("'{}'", text.replace('\'', "''")),
        };
        let line = |variable: &str, value: &str| format!("{variable}{assigned}{}\n", quoted(value));
        let text = recipe.replace(&line("PROJECT", "."), &line("PROJECT", project));
        Some((path, text.replace(&line("SUITE", "hello"), &line("SUITE", &name.to_string()))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recipes_say_what_is_tested_in_two_lines() {
        let name = "web".parse().unwrap();
        for ci in [Ci::Github, Ci::Gitlab, Ci::Jenkins] {
            let (_, as_it_is) = ci.file(".", &"hello".parse().unwrap()).unwrap();
            let (_, text) = ci.file("it's/x", &name).unwrap();
            let changed: Vec<_> =
                text.lines().zip(as_it_is.lines()).filter(|(new, old)| new != old).collect();
            let [(project, _), (suite, _)] = changed[..] else { panic!("{ci:?}: {changed:?}") };
            assert!(
                project.contains("PROJECT") && suite.contains("SUITE") && suite.contains("web"),
                "{ci:?}"
            );
            assert!(
                project.ends_with(if ci == Ci::Jenkins { r"'it\'s/x'" } else { "'it''s/x'" }),
                "{project}"
            );
        }
        assert_eq!(Ci::None.file(".", &name), None);
    }
}
