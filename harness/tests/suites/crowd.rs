//! Four suites with the same machine name, address and files: side by side none notices the others.

use polder::prelude::*;

async fn leaves_its_mark(only: &Vm, mark: &str) -> Result {
    only.write_file("/root/mark", mark).await?;
    only.succeed("sleep 1").await?;
    let found = only.read_file("/root/mark").await?;
    ensure!(found == mark.as_bytes(), "somebody else's mark: {}", String::from_utf8_lossy(&found));
    Ok(())
}

macro_rules! suites {
    ($($name:ident)+) => {$(
        #[polder::suite(env = "one.yaml", timeout = "5m")]
        mod $name {
            use super::*;

            #[test]
            async fn is_alone(only: &Vm) -> Result {
                leaves_its_mark(only, stringify!($name)).await
            }
        }
    )+};
}

suites!(first second third fourth);

polder::main!();
