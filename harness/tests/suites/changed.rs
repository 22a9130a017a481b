//! Changes of a file, on this host by the driver `local`: by parameter and by name, undone at the end unless they are to stay.

use std::path::PathBuf;

use polder::prelude::*;

/// Where its changes leave files, by the variable that the file has it from.
fn left(name: &str) -> PathBuf {
    PathBuf::from(std::env::var_os("POLDER_VAR_dir").unwrap_or_default()).join(name)
}

#[polder::suite(changes = "changed.yaml", timeout = "1m")]
mod changed {
    use super::*;

    #[test]
    async fn does_what_the_parameter_names(first_note: &NamedChange) -> Result {
        ensure!(!left("first-here").exists());
        let report = first_note.apply().await?;
        ensure!(report.steps.iter().filter(|step| !step.devices.is_empty()).count() >= 1, "{report:?}");
        ensure!(left("first-here").exists() && left("first-there").exists());
        Ok(())
    }

    #[test]
    async fn does_what_is_named_on_some(changes: &Changes) -> Result {
        changes.named("second").on(["there"]).await?;
        ensure!(left("second-there").exists() && !left("second-here").exists());
        // It waits for the first one in the file, which is not done once more.
        ensure!(std::fs::read_to_string(left("count"))?.lines().count() == 3);
        changes.named("kept").keep().await?;
        Ok(())
    }

    #[test]
    async fn does_all_of_a_scenario(changes: &Changes) -> Result {
        changes.named("more").await?;
        ensure!(left("third-here").exists() && left("fourth-here").exists());
        Ok(())
    }

    #[test]
    async fn says_what_is_unknown(changes: &Changes) -> Result {
        let Err(error) = changes.named("secnod").await else { bail!("there is one") };
        ensure!(error.to_string() == "no change `secnod` in changed.yaml; did you mean `second`?", "{error}");
        let Err(error) = changes.named("second").on(["hree"]).await else { bail!("there is one") };
        ensure!(error.to_string().contains("did you mean `here`?"), "{error}");
        Ok(())
    }

    #[test]
    async fn fails_and_is_undone_at_once(fails: &NamedChange) -> Result {
        let Err(error) = fails.apply().await else { bail!("it did not fail") };
        ensure!(!left("failed-here").exists(), "{error}");
        // The scenario fails with it.
        Err(error)
    }

    #[test]
    #[ignore = "does not end by itself"]
    async fn is_amid_a_change(slow: &NamedChange) -> Result {
        slow.apply().await?;
        Ok(())
    }
}

#[polder::suite]
mod without {
    use super::*;

    #[test]
    async fn has_no_file(changes: &Changes) -> Result {
        let Err(error) = changes.named("second").await else { bail!("there is one") };
        ensure!(error.to_string().contains("the suite names no file of changes"), "{error}");
        Ok(())
    }
}

polder::main!();
