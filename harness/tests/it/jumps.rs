//! Machines that are there anyway and only reached from others: by way of one that is ours, and of one that is reached so
//! itself, in an environment as suites have it.

use std::time::Duration;

use polder::{
    env::{Env, Host, Progress, Selection},
    initfile::{self, Options},
    provider::MachineState,
};

/// `behind` and `deeper` are `inner`, found on a net that no way leads to from outside, and on its own loopback.
const FILE: &str = "
x-small: &small
  memory: 128
  vcpu: 1
  nics: [{net: lan}, {net: back}]
  disks: [{name: root, type: template, template_name: minimal, dev: vda, format: qcow2}]
domains:
  bastion: *small
  inner: {<<: *small, nics: [{net: lan}, {net: back, ip: 192.168.231.20}]}
  behind: {vm-provider: ssh, ssh-address: 192.168.231.20, ssh-jump: bastion, roles: [far]}
  deeper: {vm-provider: ssh, ssh-address: 127.0.0.1, ssh-jump: behind, roles: [far]}
nets:
  lan: {type: nat, management: true}
  back: {type: isolated, gw: 192.168.231.1}
";

#[tokio::test(flavor = "multi_thread")]
async fn machines_are_reached_from_others() {
    let variable = |name: &str| std::env::var(name).ok();
    let host = Host::from_env(&variable).unwrap();
    let spec = initfile::load_text("jumps.yaml".as_ref(), FILE, &Options::new(&variable)).unwrap().spec;
    let progress = Progress::new(|text| eprintln!("{text}"));
    let env = match Env::up(&host, &spec, &progress).await {
        Ok(env) => env,
        Err(failed) => panic!("{:#}", anyhow::Error::from(failed.error)),
    };
    let far = env.with_role("far");
    assert_eq!(far.len(), 2);
    for (number, vm) in far.iter().enumerate() {
        assert_eq!(vm.succeed("hostname").await.unwrap(), "inner\n", "{vm:?}");
        assert_eq!(env.state_of(vm).await.unwrap(), MachineState::Running);
        vm.write_file(&format!("/root/{number}"), "sent").await.unwrap();
    }
    let inner = env.vm("inner").unwrap();
    assert_eq!(inner.succeed("cat /root/0 /root/1").await.unwrap(), "sentsent");
    let from = far[0].succeed("echo $SSH_CONNECTION").await.unwrap();
    let bastion = env.vm("bastion").unwrap().ips_on(&env.net("back").unwrap())[0].to_string();
    assert!(from.starts_with(&format!("{bastion} ")), "{from}");

    env.stop(&Selection::Named(vec!["bastion".into()]), &progress).await.unwrap();
    for vm in &far {
        tokio::time::timeout(Duration::from_secs(120), async {
            assert_eq!(env.state_of(vm).await.unwrap(), MachineState::Unreachable, "{vm:?}");
        })
        .await
        .unwrap();
    }
    env.down().await.unwrap();
}
