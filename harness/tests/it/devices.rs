//! What an init file says of a machine's devices, seen from inside: every kind of disk and NIC in one boot, and firmware.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    path::Path,
    time::{Duration, Instant},
};

use polder::{
    env::{Env, Host, Progress},
    initfile::{self, Options},
};

const ALL: &str = "
domains:
  all:
    memory: 160
    cpu_topology: {sockets: 1, cores: 2}
    xml: <domain><devices><watchdog model='i6300esb' action='none'/></devices></domain>
    nics:
      - {net: front}
      - {net: back, mtu: 1400}
      - {net: back}
      - {net: back, model: e1000}
    disks:
      - {name: root, type: template, template_name: minimal, dev: vdb, format: qcow2}
      - {name: copy, type: file, path: $DIR/data.raw, make_a_copy: true, dev: vdc, format: raw, serial: COPY-1}
      - {name: got, type: file, url: $URL/got.raw, path: $DIR/got.raw, dev: vdd, format: raw}
      - {name: scsi, type: empty, size: 8M, dev: sda, format: raw}
      - {name: cd, type: file, path: $DIR/tools.iso, dev: hdc, format: iso}
nets:
  front: {management: true}
  back: {type: isolated, mtu: 1300}
";

const FIRMWARE: &str = "
  efi:
    memory: 128
    firmware: uefi
    bootstrap: false
    disks: [{name: none, type: file, path: $DIR/data.raw, dev: vda, format: raw}]
";

/// What the guest says of itself, a line for each question. It has no driver for the e1000, but a bus to see it on.
const QUESTIONS: &str = "
for i in $(seq 100); do [ -b /dev/sda ] && [ -b /dev/sr0 ] && break; sleep 0.2; done
cat /sys/block/vda/serial; echo
cat /sys/block/vdb/serial; echo
head -c 5 /dev/vdb; echo
head -c 5 /dev/vdc; echo
cat /sys/block/sda/size
head -c 5 /dev/sr0; echo
cat /sys/class/net/eth1/mtu /sys/class/net/eth2/mtu
sed -n 's/^cpu cores.*: //p' /proc/cpuinfo | head -n 1
grep -l 0x100e /sys/bus/pci/devices/*/device | wc -l
grep -l 0x25ab /sys/bus/pci/devices/*/device | wc -l
printf XXXXX | dd of=/dev/vdb conv=notrunc 2>/dev/null; sync; head -c 5 /dev/vdb
";

/// A server that answers everything with the same bytes, until the process ends.
fn server(body: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut lines = BufReader::new(&stream).lines().map_while(Result::ok);
            let head = lines.next().is_some_and(|line| line.starts_with("HEAD"));
            lines.find(String::is_empty);
            let length = body.len();
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
            let _ = (&stream).write_all(answer.as_bytes());
            let _ = (&stream).write_all(if head { b"" } else { body });
        }
    });
    url
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_has_the_devices_its_init_file_asks_for() {
    let dir = tempfile::Builder::new().prefix("pv").tempdir_in("/var/tmp").unwrap();
    let path = dir.path().display().to_string();
    let image = |text: &str| [text.as_bytes(), &[0; 8187]].concat();
    fs::write(dir.path().join("data.raw"), image("fresh")).unwrap();
    fs::write(dir.path().join("tools.iso"), image("tools")).unwrap();
    let url = server(Box::leak(image("sent!").into_boxed_slice()));
    let env = |name: &str| match name {
        "POLDER_RUNTIME_DIR" => Some(dir.path().join("labs").display().to_string()),
        "DIR" => Some(path.clone()),
        "URL" => Some(url.clone()),
        _ => std::env::var(name).ok(),
    };
    // What libvirt goes by; firmware of other architectures is described there, too.
    let described = fs::read_dir("/usr/share/qemu/firmware").into_iter().flatten().flatten();
    let firmware = described.into_iter().any(|file| {
        fs::read_to_string(file.path()).is_ok_and(|text| text.contains("x86_64") && text.contains("\"uefi\""))
    });
    let text = match firmware {
        true => ALL.replace("\nnets:", &format!("{FIRMWARE}nets:")),
        false => ALL.to_owned(),
    };
    let spec = initfile::load_text(Path::new("all.yaml"), &text, &Options::new(&env)).unwrap().spec;
    let host = Host::from_env(&env).unwrap();
    let quiet = Progress::new(|_| {});

    // Who only plans puts nothing where a machine would have it.
    let plan = Env::plan_of(&host, &spec, &quiet).await.unwrap();
    assert!(plan.machines.len() > usize::from(firmware) && !dir.path().join("got.raw").exists());
    for kept in fs::read_dir(host.lab.cache.join("downloads")).unwrap().flatten() {
        let ours = kept.file_name().to_string_lossy().ends_with("-got.raw");
        ours.then(|| fs::remove_file(kept.path()).unwrap());
    }

    let env = Env::up(&host, &spec, &quiet).await.unwrap();
    let all = env.vm("all").unwrap();
    let said = all.succeed(QUESTIONS).await.unwrap();
    let expected = "1\nCOPY-1\nfresh\nsent!\n16384\ntools\n1400\n1300\n2\n1\n1\nXXXXX";
    assert_eq!(said.trim().lines().collect::<Vec<_>>(), expected.lines().collect::<Vec<_>>());
    assert!(fs::read(dir.path().join("data.raw")).unwrap().starts_with(b"fresh"), "it is a copy's");
    assert_eq!(fs::read(dir.path().join("got.raw")).unwrap(), image("sent!"), "it is where it was wanted");
    if firmware {
        let console = env.folder().join(&env.vm("efi").unwrap().plan().console);
        let deadline = Instant::now() + Duration::from_secs(90);
        while !fs::read_to_string(&console).unwrap_or_default().contains("BdsDxe") {
            assert!(Instant::now() < deadline, "{:?}", fs::read_to_string(&console));
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    } else {
        // Past what catches the output of tests: this one passes, and must not do so in silence.
        let _ =
            writeln!(std::io::stderr(), "SKIP UEFI: this host has no firmware for it (the package `ovmf`)");
    }
    env.down().await.unwrap();
}
