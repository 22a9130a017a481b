//! A browser without a window that looks at our pages.

use std::{io::Write, path::Path, process::Command};

/// The names it has.
const BROWSERS: &[&str] = &["chromium", "chromium-browser", "google-chrome-stable", "google-chrome"];

/// What is on the page at `url` once its scripts have done what they do; `folder` takes what the browser keeps. `None`, after
/// saying so, where there is none; `what` is then not tested.
pub(crate) fn look_at(url: &str, folder: &Path, what: &str) -> Option<String> {
    let runs = |browser: &&&str| Command::new(browser).arg("--version").output().is_ok();
    let Some(browser) = BROWSERS.iter().find(runs) else {
        let _ = writeln!(std::io::stderr(), "SKIP {what}: there is no chromium");
        return None;
    };
    let profile = format!("--user-data-dir={}", folder.join("profile").display());
    // Its own clock goes on for five seconds at most, or less if nothing is left to be done.
    let page = Command::new(browser)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--window-size=1280,900", &profile])
        .args(["--enable-logging=stderr", "--virtual-time-budget=5000", "--dump-dom", url])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&page.stderr);
    assert!(page.status.success(), "{said}");
    let complains =
        |line: &&str| line.contains("CONSOLE") && (line.contains("Error") || line.contains("Refused"));
    assert_eq!(said.lines().find(complains), None, "the page's script or policy is wrong");
    Some(String::from_utf8_lossy(&page.stdout).into_owned())
}
