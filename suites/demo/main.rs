//! The demo: two machines, two networks, a service, a file and a reboot; and a suite that fails on purpose.

use polder::{
    prelude::*,
    repo::{Order, Source},
};

mod on_purpose;

#[polder::suite(env = "demo.yaml", timeout = "10m")]
mod demo {
    use super::*;

    /// Kept for later runs of the same executable, in which the files are.
    #[setup(cached)]
    async fn install(web: &Vm) -> Result {
        web.write_file("/usr/local/bin/hello.pl", include_str!("hello.pl")).await?;
        web.succeed("chmod +x /usr/local/bin/hello.pl").await?;
        web.write_file("/etc/systemd/system/hello.service", include_str!("hello.service")).await?;
        web.succeed("systemctl daemon-reload && systemctl enable --now hello.service").await?;
        Ok(())
    }

    #[test]
    async fn names_resolve(web: &Vm, client: &Vm) -> Result {
        let found = web.succeed("getent hosts client.demo.test").await?;
        ensure!(
            found.contains(&client.ip().context("client has an address")?.to_string()),
            "client.demo.test is {found}"
        );
        client.succeed("nslookup web.demo.test").await?;
        Ok(())
    }

    #[test]
    async fn traffic_flows_on_both_nets(web: &Vm, client: &Vm, front: &Net, back: &Net) -> Result {
        for net in [front, back] {
            let to = web.ip_on(net).context("web is on both")?;
            client.succeed(Command::new("ping").args(["-c", "2", "-W", "5", &to.to_string()])).await?;
        }
        Ok(())
    }

    #[test]
    async fn a_service_restarts(web: &Vm, client: &Vm, back: &Net) -> Result {
        web.succeed("systemctl restart hello.service").await?;
        web.wait_for_unit("hello.service", secs(20)).await?;
        web.wait_for_port(8080, secs(20)).await?;
        let at = web.ip_on(back).context("web is on the back net")?;
        let page = client.succeed(format!("wget -q -O - http://{at}:8080/")).await?;
        ensure!(page == "hello\n", "the page is {page:?}");
        Ok(())
    }

    #[test]
    async fn a_package_installs_without_internet(env: &Env, web: &Vm, artifacts: &Artifacts) -> Result {
        let folder = artifacts.path("greeting")?;
        let tree = folder.join("tree");
        std::fs::create_dir_all(tree.join("DEBIAN"))?;
        let control = "Package: greeting\nVersion: 1.0\nArchitecture: all\nMaintainer: me <me@demo.test>\nDescription: hi\n";
        std::fs::write(tree.join("DEBIAN/control"), control)?;
        std::fs::write(tree.join("greeting"), "hello\n")?;
        let mut build = std::process::Command::new("dpkg-deb");
        let built = build.args(["--root-owner-group", "-b"]).arg(&tree).arg(&folder).output()?;
        ensure!(built.status.success(), "{built:?}");

        let sources = vec![Source::Path(folder)];
        let repo = env.build_repo(&Order { name: "own".into(), sources, only: vec![] }).await?;
        let list = format!("deb [trusted=yes] {repo} ./");
        web.succeed(format!("echo '{list}' > /etc/apt/sources.list && rm -f /etc/apt/sources.list.d/*"))
            .await?;
        web.succeed("apt-get -q update && apt-get -q -y install greeting").await?;
        let greeting = web.succeed("cat /greeting && dpkg-query -W -f '${Version}' greeting").await?;
        ensure!(greeting == "hello\n1.0", "the package brought {greeting:?}");
        Ok(())
    }

    #[test]
    async fn a_file_goes_there_and_back(web: &Vm, artifacts: &Artifacts) -> Result {
        let sent: Vec<u8> = (0..1_000_000_u32).flat_map(|n| n.to_le_bytes()).collect();
        let here = artifacts.path("sent")?;
        std::fs::write(&here, &sent)?;
        web.copy_to(&here, "/root/file").await?;
        let back = artifacts.path("received")?;
        web.copy_from("/root/file", &back).await?;
        ensure!(std::fs::read(&back)? == sent, "the file came back changed");
        Ok(())
    }

    #[test(after(a_file_goes_there_and_back, a_service_restarts))]
    async fn a_reboot_keeps_what_was_written(web: &Vm) -> Result {
        web.reboot(secs(90)).await?;
        web.succeed("test -s /root/file").await?;
        web.wait_for_unit("hello.service", secs(30)).await?;
        Ok(())
    }
}

polder::main!();
