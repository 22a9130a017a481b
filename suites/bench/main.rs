//! The program behind `cargo ci bench`: does a benchmark our way and with the plain tools, in turn, and prints a line
//! of JSON for each figure.
#![expect(clippy::print_stdout, reason = "its output is what it is for")]

mod change;
mod checkpoints;
mod cvp;
mod guest;
mod guests;
mod ours;
mod plain;
mod python;
mod runner;

use anyhow::{Result, bail};

/// Prints one figure, in the form `cargo ci bench` reads.
fn figure(name: &str, side: &str, took: std::time::Duration) {
    println!("{}", serde_json::json!({ "name": name, "side": side, "seconds": took.as_secs_f64() }));
}

/// Prints what was measured and is compared with nothing.
fn fact(name: &str, value: f64, unit: &str) {
    println!("{}", serde_json::json!({ "name": name, "value": value, "unit": unit }));
}

#[tokio::main]
async fn main() -> Result<()> {
    let name = std::env::args().nth(1).unwrap_or_default();
    match name.as_str() {
        "up" => {
            for machines in [1, 2, 4] {
                let text = guests::init_file(machines, "debian12", 384);
                let label = format!("up, {machines} debian12");
                figure(&label, "ours", ours::up(&text).await?);
                figure(&label, "plain", plain::up(&text).await?);
            }
        }
        "env" => {
            for machines in [1, 2, 4, 8] {
                let text = guests::init_file(machines, "minimal", 128);
                for (side, steps) in
                    [("ours", ours::life(&text).await?), ("plain", plain::life(&text).await?)]
                {
                    for (step, took) in steps {
                        figure(&format!("{step}, {machines} minimal"), side, took);
                    }
                }
            }
        }
        "lab" => {
            figure("lab", "ours", ours::lab().await?);
            figure("lab", "plain", plain::lab()?);
        }
        "exec" => guests::exec().await?,
        "copy" => guests::copy(32).await?,
        "bulk" => guests::copy(2048).await?,
        "guest" => {
            guest::exec().await?;
            guests::collect().await?;
        }
        "cvp" => {
            cvp::clients().await?;
            cvp::large_portal().await?;
        }
        "change" => {
            change::engine().await?;
            change::planning()?;
            change::devices().await?;
        }
        "checkpoints" => {
            checkpoints::second_run().await?;
            for machines in [1, 2, 4] {
                checkpoints::warm(machines).await?;
            }
            checkpoints::reset(2).await?;
        }
        "runner" => runner::crowd()?,
        cvp::PORTAL => cvp::portal(std::env::args().nth(2).as_deref() == Some("large")).await?,
        other => {
            bail!(
                "no benchmark `{other}`; there are up, env, lab, checkpoints, exec, copy, bulk, guest, cvp, change, runner"
            )
        }
    }
    Ok(())
}
