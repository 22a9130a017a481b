//! A suite that fails on purpose, so that what a failure leaves can be seen. Selected by `POLDER_DEMO_FAIL` alone.

use polder::prelude::*;

#[polder::suite(env = "demo.yaml", timeout = "5m", if_var = "POLDER_DEMO_FAIL")]
mod failing {
    use super::*;

    #[test]
    async fn the_disk_has_room(client: &Vm) -> Result {
        client.succeed("df -k /").await?;
        Ok(())
    }

    #[test]
    async fn a_page_is_served(client: &Vm, web: &Vm) -> Result {
        // Nobody started the server: this fails, and its folder says everything there is to know.
        client.succeed(Command::new("wget").args(["-q", "-O", "-", "http://web:8080/"])).await?;
        web.wait_for_port(8080, secs(5)).await?;
        Ok(())
    }

    #[test(after(a_page_is_served))]
    async fn the_page_says_hello(client: &Vm) -> Result {
        client.succeed("wget -q -O - http://web:8080/ | grep hello").await?;
        Ok(())
    }
}
