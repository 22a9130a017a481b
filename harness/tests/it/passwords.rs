//! Passwords and users that an init file asks for, on both of our images: who knows them gets in, over ssh and at the
//! console, and nobody else.

use std::time::{Duration, Instant};

use polder::{
    env::{Env, Host, Progress, Vm},
    guest::{Channel, Command, Guest, GuestSpec, Login},
    initfile::{self, Options},
};

const FILE: &str = "
domains:
  small:
    memory: 128
    vcpu: 1
    root-password: 'small: $x'
    nics: [{net: lan}]
    disks: [{name: root, type: template, template_name: minimal, dev: vda, format: qcow2}]
  big:
    memory: 256
    ssh-user: joe
    ssh-password: joes own
    root-password: 'big: $x'
    nics: [{net: lan}]
    disks: [{name: root, type: template, template_name: debian12, dev: vda, format: qcow2}]
nets:
  lan: {management: true}
";

/// Logs in to `$1` with the password `$2` and says who one is there.
const BY_PASSWORD: &str = r#"
printf '#!/bin/sh\ncat ~/password\n' >~/ask && chmod 755 ~/ask && printf '%s\n' "$2" >~/password
SSH_ASKPASS=~/ask SSH_ASKPASS_REQUIRE=force setsid ssh -o StrictHostKeyChecking=no -o PubkeyAuthentication=no \
    -o NumberOfPasswordPrompts=1 -o LogLevel=ERROR "$1" id -un"#;

#[tokio::test(flavor = "multi_thread")]
async fn who_knows_a_password_gets_in() {
    let env = |name: &str| std::env::var(name).ok();
    let host = Host::from_env(&env).unwrap();
    let spec = initfile::load_text("passwords.yaml".as_ref(), FILE, &Options::new(&env)).unwrap().spec;
    let env = Env::up(&host, &spec, &Progress::new(|text| eprintln!("{text}"))).await.unwrap();
    let (small, big) = (env.vm("small").unwrap(), env.vm("big").unwrap());
    assert_eq!(
        small.succeed("id -un; sed -n 's/^root:.6.*/hashed/p' /etc/shadow").await.unwrap(),
        "root\nhashed\n"
    );
    // Made for who logs in, with the same key.
    assert_eq!(big.succeed("id -un; pwd").await.unwrap(), "joe\n/home/joe\n");
    let to = |who: &str, password: &str| Command::script(BY_PASSWORD).args([who, password]);
    for (who, password, user) in [
        ("root@small", "small: $x", "root"),
        ("root@localhost", "big: $x", "root"),
        ("joe@localhost", "joes own", "joe"),
    ] {
        assert_eq!(big.succeed(to(who, password)).await.unwrap().trim(), user, "{who}");
    }
    for who in ["root@small", "root@localhost", "joe@localhost"] {
        big.fails(to(who, "wrong")).await.unwrap();
    }
    for vm in [&small, &big] {
        vm.wait_for_console("login:", Duration::from_secs(30)).await.unwrap();
    }
    at_the_console(&small, &big).await;
    env.down().await.unwrap();
}

/// Who is not let in, or finds nobody there, is told so in time; a shell that is open already is used as it is.
async fn at_the_console(small: &Vm, big: &Vm) {
    const LIMIT: Duration = Duration::from_secs(20);
    let with = |vm: &Vm, password: Option<&str>| {
        let login = Login { user: "root".to_owned(), password: password.map(str::to_owned) };
        Guest::new(GuestSpec { login, ..vm.spec().clone() })
    };
    let who = || Command::from("id -un").over(Channel::Console).timeout(LIMIT);
    let refused = async |guest: &Guest, why: &str| {
        let start = Instant::now();
        let error = format!("{:#}", anyhow::Error::from(guest.execute(who()).await.unwrap_err()));
        assert!(error.contains(why), "{error}");
        assert!(
            start.elapsed() < LIMIT.mul_f64(guest.spec().time_factor) + Duration::from_secs(5),
            "{error}"
        );
    };
    for (vm, right) in [(small, "small: $x"), (big, "big: $x")] {
        refused(&with(vm, Some("wrong")), "does not let `root` in with the password that is known").await;
        refused(&with(vm, None), "asks for a password, and none is known for `root`").await;
        assert_eq!(with(vm, Some(right)).succeed(who()).await.unwrap(), "root\n");
        // The shell stays open.
        assert_eq!(with(vm, Some("wrong")).succeed(who()).await.unwrap(), "root\n");
    }
    let end = Command::from("systemctl stop polder-console.service").over(Channel::Agent);
    big.succeed(end).await.unwrap();
    refused(&with(big, Some("big: $x")), "neither a login nor a shell runs there").await;
}
