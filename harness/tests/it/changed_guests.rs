//! One file of changes on four machines: users, files, settings of the kernel and a service, on all of them or on none.

use crate::typed::Ground;

const MACHINES: [&str; 4] = ["a", "b", "c", "d"];

const CHANGES: &str = r#"version: 1
devices: { a: {}, b: {}, c: {}, d: {} }
drivers: { machines: { kind: ssh, command_timeout: 120s } }
templates:
  everywhere: { targets: all, policy: { devices: { parallel: 4 }, on_fail: rollback_all } }
scenario:
  name: greeter
  policy: { on_fail: rollback_all }
  nodes:
    - step: user
      template: everywhere
      precheck: { exchanges: [ { send: "! id greeter" } ] }
      apply:    { exchanges: [ { send: "useradd --system --no-create-home greeter" } ] }
      verify:   { exchanges: [ { send: "id greeter" } ] }
      rollback: [ { exchanges: [ { send: "! id greeter || userdel greeter" } ] } ]
    - step: file
      template: everywhere
      apply:    { exchanges: [ { send: "cp -p /etc/motd /etc/motd.kept" }, { send: "echo greeted >>/etc/motd" } ] }
      verify:   { exchanges: [ { send: "cat /etc/motd" } ], checks: [ '"greeted" in results.cmdoutput' ] }
      rollback: [ { exchanges: [ { send: "test ! -e /etc/motd.kept || mv /etc/motd.kept /etc/motd" } ] } ]
    - step: kernel
      template: everywhere
      apply:    { exchanges: [ { send: "sysctl -w net.ipv4.ip_forward=1" } ] }
      verify:   { exchanges: [ { send: "sysctl -n net.ipv4.ip_forward" } ], checks: [ 'int(results.cmdoutput) == 1' ] }
      rollback: [ { exchanges: [ { send: "sysctl -w net.ipv4.ip_forward=0" } ] } ]
    - step: service
      template: everywhere
      apply:
        exchanges:
          - { send: "printf '[Service]\nUser=greeter\nExecStartPre=test ! -e /etc/greeter.broken\nExecStart=sleep infinity\n' >/etc/systemd/system/greeter.service" }
          - { send: "systemctl daemon-reload" }
          - { send: "systemctl start greeter" }
      verify:   { exchanges: [ { send: "systemctl is-active greeter" } ] }
      rollback:
        - exchanges:
          - { send: "systemctl stop greeter; rm -f /etc/systemd/system/greeter.service" }
          - { send: "systemctl daemon-reload; systemctl reset-failed greeter || true" }
"#;

/// What the changes touch.
const LOOK: &str = "getent passwd greeter; ls -l --time-style=full-iso /etc/motd*; cat /etc/motd; sysctl -n net.ipv4.ip_forward; \
                    ls /etc/systemd/system; systemctl is-active greeter; true";

#[test]
fn four_machines_are_changed_or_none_of_them() {
    let machine = |name| {
        format!(
            "  {name}:\n    memory: 256\n    vcpu: 1\n    nics: [{{net: lan}}]\n    disks: [{{name: root, type: template, \
             template_name: debian12, dev: vda, format: qcow2}}]\n"
        )
    };
    let machines: String = MACHINES.map(machine).concat();
    let ground = Ground::new(&format!("domains:\n{machines}nets:\n  lan: {{type: nat, management: true}}\n"));
    std::fs::write(ground.path("changes.yaml"), CHANGES).unwrap();
    ground.polder(&["up"]).ok();
    let states = || MACHINES.map(|name| ground.polder(&["exec", name, "--", "sh", "-c", LOOK]).ok());
    let change = |args: &[&str]| {
        let mut command = ground.command(&["change"]);
        // Runs are kept in the cache folder, and images as well.
        command.args(args).env("XDG_CACHE_HOME", ground.path("cache"));
        crate::typed::Said::of(&command.output().unwrap())
    };
    let before = states();

    ground.polder(&["exec", "d", "--", "touch", "/etc/greeter.broken"]).ok();
    let failed = change(&["run", "changes.yaml", "--autobackout"]);
    assert_eq!(failed.code, Some(1), "{failed:?}");
    assert!(failed.out.contains("systemctl start greeter"), "{failed:?}");
    assert_eq!(states(), before, "{failed:?}");

    ground.polder(&["exec", "d", "--", "rm", "/etc/greeter.broken"]).ok();
    let done = change(&["run", "changes.yaml"]);
    assert_eq!(done.code, Some(0), "{done:?}");
    for (state, name) in states().iter().zip(MACHINES) {
        let has = ["greeter:x:", "\ngreeted\n", "\n1\n", "greeter.service", "\nactive"];
        assert!(has.iter().all(|what| state.contains(what)), "{name}: {state}");
    }

    let undone = change(&["rollback", "--autobackout"]);
    assert_eq!(undone.code, Some(0), "{undone:?}");
    assert_eq!(states(), before, "{undone:?}");
    ground.polder(&["destroy", "-y"]).ok();
}
