//! What makes a machine made from somebody else's image itself: a small disk that cloud-init finds (its source NoCloud).
//! Does not attach it to anything.

use std::{
    fs, io,
    io::{Cursor, Write},
    path::Path,
};

use fatfs::{FileSystem, FormatVolumeOptions, FsOptions};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json, json};

use super::identity::{Address6, Identity, NicAddress, NicIdentity, User};

/// The documents on the disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seed {
    /// `user-data`.
    pub user_data: String,
    /// `meta-data`.
    pub meta_data: String,
    /// `network-config`.
    pub network_config: String,
}

/// What a person wants cloud-init to be told besides.
#[derive(Debug, Clone, Copy, Default)]
pub struct Asked<'a> {
    /// User data in any form cloud-init takes. It is merged into ours: lists become longer, what we set stays.
    pub user_data: Option<&'a str>,
    /// Lines (or JSON) that are added to our meta-data; what they say again wins.
    pub meta_data: Option<&'a str>,
    /// Stands in place of our network configuration.
    pub network_config: Option<&'a str>,
}

/// The label by which cloud-init knows the disk, padded as FAT wants it.
const LABEL: [u8; 11] = *b"CIDATA     ";
/// Smallest image in bytes.
const SMALLEST: usize = 1 << 20;

impl Seed {
    /// For the machine `identity` describes. `instance` is its own as long as its disk is: with another one, cloud-init
    /// takes the disk for a copy in a new machine.
    #[must_use]
    pub fn new(identity: &Identity, instance: &str, asked: &Asked<'_>) -> Self {
        Self {
            user_data: user_data(identity, asked),
            meta_data: meta_data(identity, instance, asked.meta_data),
            network_config: asked.network_config.map_or_else(|| network_config(identity), str::to_owned),
        }
    }

    /// The disk: a FAT file system without partition table.
    ///
    /// # Errors
    /// The documents do not fit.
    pub fn image(&self) -> io::Result<Vec<u8>> {
        let documents = [
            ("user-data", &self.user_data),
            ("meta-data", &self.meta_data),
            ("network-config", &self.network_config),
        ];
        let size = documents.iter().map(|(_, text)| text.len()).sum::<usize>();
        let size = SMALLEST.max(2 * size).next_multiple_of(SMALLEST);
        let mut disk = Cursor::new(vec![0; size]);
        fatfs::format_volume(&mut disk, FormatVolumeOptions::new().volume_label(LABEL))?;
        let volume = FileSystem::new(&mut disk, FsOptions::new())?;
        for (name, text) in documents {
            volume.root_dir().create_file(name)?.write_all(text.as_bytes())?;
        }
        volume.unmount()?;
        Ok(disk.into_inner())
    }

    /// Writes the disk to a file, which is replaced.
    ///
    /// # Errors
    /// The file cannot be written, or the documents do not fit.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        fs::write(path, self.image()?)
    }
}

fn user_data(identity: &Identity, asked: &Asked<'_>) -> String {
    let host = identity.hostname.as_str();
    let mut config = json!({
        "hostname": host,
        "preserve_hostname": false,
        // The key is for root and for the image's own user.
        "disable_root": false,
        "ssh_authorized_keys": [identity.authorized_key.trim()],
        "ssh_keys": { "ed25519_private": identity.host_key },
    });
    if let Some(map) = config.as_object_mut() {
        if let Some(search) = &identity.search {
            map.insert("fqdn".into(), json!(format!("{host}.{search}")));
        }
        let password = |user: &User| user.password.as_ref().map(|hash| format!("{}:{hash}\n", user.name));
        let passwords: String = identity.users.iter().filter_map(password).collect();
        // Without a password nobody is let in by one.
        if !passwords.is_empty() {
            map.insert("ssh_pwauth".into(), json!(true));
            map.insert("chpasswd".into(), json!({ "expire": false, "list": passwords }));
        }
        let others = identity.users.iter().filter(|user| user.name != "root").map(|user| {
            let key = identity.authorized_key.trim();
            json!({ "name": user.name, "ssh_authorized_keys": [key], "lock_passwd": user.password.is_none() })
        });
        let others: Vec<Json> = others.collect();
        if !others.is_empty() {
            // The image's own user stays.
            map.insert("users".into(), std::iter::once(json!("default")).chain(others).collect());
        }
    }
    let config = format!("#cloud-config\n{config}\n");
    match asked.user_data {
        None => config,
        Some(theirs) => multipart(&config, theirs),
    }
}

/// Two documents as one, as mail has its attachments.
fn multipart(ours: &str, theirs: &str) -> String {
    // Not in either of them, whatever they are.
    let mut boundary = "==polder==".to_owned();
    while ours.contains(&boundary) || theirs.contains(&boundary) {
        boundary.push('=');
    }
    // Documents in several parts bring their own head. Of others, cloud-init finds out what they are from how they begin.
    let head = ["content-type:", "mime-version:"]
        .iter()
        .any(|head| theirs.get(..head.len()).is_some_and(|start| start.eq_ignore_ascii_case(head)));
    let head = if head {
        ""
    } else {
        "Content-Type: text/plain; charset=\"utf-8\"\nMerge-Type: list(append)+dict(no_replace,recurse_list)+str()\n\n"
    };
    format!(
        "Content-Type: multipart/mixed; boundary=\"{boundary}\"\nMIME-Version: 1.0\n\n\
         --{boundary}\nContent-Type: text/cloud-config; charset=\"utf-8\"\n\n{ours}\n\
         --{boundary}\n{head}{theirs}\n--{boundary}--\n"
    )
}

fn meta_data(identity: &Identity, instance: &str, more: Option<&str>) -> String {
    let mut text = format!("instance-id: {instance}\nlocal-hostname: {}\n", identity.hostname);
    let more = more.unwrap_or_default();
    match serde_json::from_str::<Map<String, Json>>(more) {
        Ok(map) => map.iter().for_each(|(key, value)| text += &format!("{}: {value}\n", json!(key))),
        Err(_) => text += more,
    }
    text
}

fn network_config(identity: &Identity) -> String {
    let nic = |(index, nic): (usize, &NicIdentity)| {
        let name = format!("eth{index}");
        let mut config = Map::new();
        let mut put = |key: &str, value: Json| drop(config.insert(key.to_owned(), value));
        put("match", json!({ "macaddress": nic.mac.to_string() }));
        put("set-name", json!(name));
        let mut addresses = Vec::new();
        match nic.address {
            NicAddress::Dhcp => put("dhcp4", json!(true)),
            NicAddress::Static { ip, prefix, gateway } => {
                addresses.push(format!("{ip}/{prefix}"));
                if let Some(gateway) = gateway {
                    put("gateway4", json!(gateway));
                }
            }
            NicAddress::None => {}
        }
        if let Some(Address6 { ip, prefix, gateway }) = nic.address6 {
            addresses.push(format!("{ip}/{prefix}"));
            if let Some(gateway) = gateway {
                put("gateway6", json!(gateway));
            }
        }
        if let Some(dns) = identity.dns.filter(|_| !addresses.is_empty() && nic.address != NicAddress::Dhcp) {
            let search: Vec<_> = identity.search.iter().collect();
            put("nameservers", json!({ "addresses": [dns], "search": search }));
        }
        if !addresses.is_empty() {
            put("addresses", json!(addresses));
        }
        if let Some(mtu) = nic.mtu {
            put("mtu", json!(mtu));
        }
        (name, Json::Object(config))
    };
    let nics: Map<String, Json> = identity.nics.iter().enumerate().map(nic).collect();
    format!("{}\n", json!({ "version": 2, "ethernets": nics }))
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn seed(asked: &Asked<'_>) -> Seed {
        Seed::new(&Identity { users: Vec::new(), ..Identity::example() }, "i-1", asked)
    }

    #[test]
    fn a_machine_gets_its_name_its_keys_and_its_addresses() {
        let Seed { user_data, meta_data, network_config } = seed(&Asked::default());
        insta::assert_snapshot!(format!("{user_data}---\n{meta_data}---\n{network_config}"), @r#"
        #cloud-config
        {"hostname":"web","preserve_hostname":false,"disable_root":false,"ssh_authorized_keys":["ssh-ed25519 AAAAC3 polder"],"ssh_keys":{"ed25519_private":"-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\nBB\n-----END OPENSSH PRIVATE KEY-----\n"},"fqdn":"web.lab.test"}
        ---
        instance-id: i-1
        local-hostname: web
        ---
        {"version":2,"ethernets":{"eth0":{"match":{"macaddress":"54:52:0a:00:00:02"},"set-name":"eth0","gateway4":"10.0.0.1","nameservers":{"addresses":["10.0.0.1"],"search":["lab.test"]},"addresses":["10.0.0.2/24"],"mtu":9000},"eth1":{"match":{"macaddress":"02:00:00:00:00:ab"},"set-name":"eth1","dhcp4":true,"gateway6":"fd00::1","addresses":["fd00::2/64"]},"eth2":{"match":{"macaddress":"02:00:00:00:00:01"},"set-name":"eth2"}}}
        "#);
    }

    #[test]
    fn those_who_may_log_in_are_there_with_their_hashes() {
        let config = |users: &[(&str, Option<&str>)]| -> Json {
            let user = |(name, hash): &(&str, Option<&str>)| User {
                name: (*name).into(),
                password: hash.map(str::to_owned),
            };
            let identity = Identity { users: users.iter().map(user).collect(), ..Identity::example() };
            let said = Seed::new(&identity, "i-1", &Asked::default()).user_data;
            serde_json::from_str(said.trim_start_matches("#cloud-config\n")).unwrap()
        };
        let none = config(&[]);
        assert!(["ssh_pwauth", "chpasswd", "users"].iter().all(|key| none.get(*key).is_none()), "{none}");
        let root = config(&[("root", Some("$6$a$b"))]);
        assert!(root["chpasswd"]["list"] == "root:$6$a$b\n" && root.get("users").is_none(), "{root}");
        let both = config(&[("root", Some("$6$a$b")), ("joe", Some("$6$c$d"))]);
        assert_eq!(both["chpasswd"]["list"], "root:$6$a$b\njoe:$6$c$d\n");
        assert_eq!((&both["users"][0], &both["users"][1]["lock_passwd"]), (&json!("default"), &json!(false)));
        let by_key = config(&[("joe", None)]);
        assert!(by_key.get("ssh_pwauth").is_none() && by_key["users"][1]["lock_passwd"] == true, "{by_key}");
        assert_eq!(by_key["users"][1]["ssh_authorized_keys"][0], "ssh-ed25519 AAAAC3 polder");
    }

    #[test]
    fn what_people_write_is_added_to_what_we_need() {
        let asked = Asked {
            user_data: Some("#!/bin/sh\necho ==polder==\n"),
            meta_data: Some("role: db\n"),
            network_config: Some("version: 1\n"),
        };
        let Seed { user_data, meta_data, network_config } = seed(&asked);
        insta::assert_snapshot!(format!("{user_data}---\n{meta_data}---\n{network_config}"), @r#"
        Content-Type: multipart/mixed; boundary="==polder==="
        MIME-Version: 1.0

        --==polder===
        Content-Type: text/cloud-config; charset="utf-8"

        #cloud-config
        {"hostname":"web","preserve_hostname":false,"disable_root":false,"ssh_authorized_keys":["ssh-ed25519 AAAAC3 polder"],"ssh_keys":{"ed25519_private":"-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\nBB\n-----END OPENSSH PRIVATE KEY-----\n"},"fqdn":"web.lab.test"}

        --==polder===
        Content-Type: text/plain; charset="utf-8"
        Merge-Type: list(append)+dict(no_replace,recurse_list)+str()

        #!/bin/sh
        echo ==polder==

        --==polder===--
        ---
        instance-id: i-1
        local-hostname: web
        role: db
        ---
        version: 1
        "#);
        let json = seed(&Asked { meta_data: Some(r#"{"role": ["a", 1]}"#), ..Asked::default() }).meta_data;
        assert_eq!(json, "instance-id: i-1\nlocal-hostname: web\n\"role\": [\"a\",1]\n");
        let parts = "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=\"b\"\n\n--b--\n";
        let nested = seed(&Asked { user_data: Some(parts), ..Asked::default() }).user_data;
        assert!(nested.contains(&format!("--==polder==\n{parts}")), "{nested}");
    }

    #[test]
    fn the_disk_has_the_label_and_the_documents() {
        let seed =
            Seed { user_data: "x".repeat(3 << 20), meta_data: "m".into(), network_config: String::new() };
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("seed.img");
        seed.write(&path).unwrap();
        seed.write(&path).unwrap();
        let volume = FileSystem::new(
            fs::File::options().read(true).write(true).open(&path).unwrap(),
            FsOptions::new(),
        );
        let volume = volume.unwrap();
        assert_eq!(volume.volume_label_as_bytes(), b"CIDATA");
        assert_eq!(volume.read_volume_label_from_root_dir_as_bytes().unwrap(), Some(LABEL));
        let read = |name| {
            let mut text = String::new();
            volume.root_dir().open_file(name).unwrap().read_to_string(&mut text).unwrap();
            text
        };
        let found = ["user-data", "meta-data", "network-config"].map(read);
        assert_eq!(found, [seed.user_data.clone(), seed.meta_data.clone(), String::new()]);
        assert_eq!(seed.image().unwrap(), fs::read(path).unwrap(), "the same every time");
    }
}
