//! The inventory, read by the real thing.

use std::process::Command;

use crate::python::programs_of;

const TWO: &str = "
domains:
  web-1:
    memory: 128
    groups: [front-end, 2nd]
    nics: [{net: lan, ip: 192.168.200.5}]
    disks: [{name: root, type: template, template_name: minimal, dev: vda, format: qcow2}]
  db:
    memory: 128
    nics: [{net: lan}]
    disks: [{name: root, type: template, template_name: minimal, dev: vda, format: qcow2}]
nets:
  lan: {type: nat, management: true}
";

#[test]
fn ansible_takes_the_inventory_without_a_word() {
    let Some(programs) = programs_of("ansible-core", "inventories for the real Ansible") else { return };
    let ansible = programs.join("ansible-inventory");
    // Blanks in the path, because the key's path is a value of the inventory.
    let dir = tempfile::Builder::new().prefix("pa b").tempdir_in("/var/tmp").unwrap();
    std::fs::write(dir.path().join("LagoInitFile"), TWO).unwrap();
    let polder = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_polder"));
        command.args(args).current_dir(dir.path()).env("XDG_CONFIG_HOME", dir.path());
        let output = command.env("POLDER_RUNTIME_DIR", dir.path().join("labs")).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    polder(&["init"]);
    std::fs::write(dir.path().join("hosts"), polder(&["ansible-hosts"])).unwrap();
    let mut command = Command::new(ansible);
    command.args(["-i", "hosts", "--list"]).current_dir(dir.path()).env("HOME", dir.path());
    let output = command.env("ANSIBLE_INVENTORY_UNPARSED_FAILED", "true").output().unwrap();
    let complaints = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && complaints.is_empty(), "{complaints}");
    let list: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(list["front_end"]["hosts"], serde_json::json!(["web-1"]));
    assert_eq!(list["_2nd"]["hosts"], serde_json::json!(["web-1"]));
    assert_eq!(list["vm_type_default"]["hosts"], serde_json::json!(["db", "web-1"]));
    let web = &list["_meta"]["hostvars"]["web-1"];
    assert_eq!(
        (web["ansible_host"].as_str(), web["ansible_user"].as_str()),
        (Some("192.168.200.5"), Some("root"))
    );
    let key = dir.path().join(".polder/default/id_ed25519").display().to_string();
    assert_eq!(web["ansible_ssh_private_key_file"], key);
    // The way into the lab, as Ansible splits it for ssh; and as a shell splits it for us.
    let args = shlex::split(web["ansible_ssh_common_args"].as_str().unwrap()).unwrap();
    let proxy = shlex::split(args[1].strip_prefix("ProxyCommand=").unwrap()).unwrap();
    let prefix = dir.path().join(".polder/default").display().to_string();
    assert_eq!(
        (args[0].as_str(), &proxy[1..]),
        ("-o", &["--prefix-path", &prefix, "proxy", "web-1"].map(str::to_owned)[..])
    );
    polder(&["destroy", "-y"]);
}
