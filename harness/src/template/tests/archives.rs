//! Machines in archives, good and evil.

use super::*;

const OVIRT: &str = r#"<ovf:Envelope xmlns:ovf="o" xmlns:rasd="r" xmlns:xsi="x"><Content>
  <Section xsi:type="ovf:VirtualHardwareSection_Type">
    <Item><rasd:ResourceType>3</rasd:ResourceType><rasd:num_of_sockets>2</rasd:num_of_sockets><rasd:cpu_per_socket>2</rasd:cpu_per_socket></Item>
    <Item><rasd:ResourceType>4</rasd:ResourceType><rasd:VirtualQuantity>1</rasd:VirtualQuantity><rasd:AllocationUnits>GigaBytes</rasd:AllocationUnits></Item>
    <Item><rasd:ResourceType>17</rasd:ResourceType><rasd:HostResource>g/one</rasd:HostResource></Item>
    <Item><rasd:ResourceType>17</rasd:ResourceType><rasd:HostResource>g/two</rasd:HostResource></Item>
  </Section></Content></ovf:Envelope>"#;

const ONE_DISK: &str = r#"<Envelope><References><File id="f" href="HREF"/></References>
  <Disk diskId="d" fileRef="f"/>
  <VirtualHardwareSection>
    <Item><ResourceType>3</ResourceType><VirtualQuantity>1</VirtualQuantity></Item>
    <Item><ResourceType>4</ResourceType><VirtualQuantity>256</VirtualQuantity><AllocationUnits>MB</AllocationUnits></Item>
    <Item><ResourceType>17</ResourceType><HostResource>/disk/d</HostResource></Item>
  </VirtualHardwareSection></Envelope>"#;

/// An archive of these files, in the world.
fn archive(world: &World, files: &[(&str, &[u8])]) -> PathBuf {
    world.write("vm.ova", packed(files))
}

/// The archive of a machine that has so much memory, in MiB.
pub(crate) fn machine(memory: u32) -> Vec<u8> {
    let descriptor = ONE_DISK.replace("HREF", "disk.vmdk").replace("256", &memory.to_string());
    packed(&[("vm.ovf", descriptor.as_bytes()), ("disk.vmdk", &vmdk(&content(5, 100_000)))])
}

fn packed(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, body) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(body.len() as u64);
        header.set_mode(0o644);
        // As evil ones do: `set_path` would refuse.
        header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_cksum();
        builder.append(&header, *body).unwrap();
    }
    builder.into_inner().unwrap()
}

fn vmdk(content: &[u8]) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let (raw, image) = (dir.path().join("raw"), dir.path().join("image"));
    fs::write(&raw, content).unwrap();
    let (raw, name) = (raw.to_str().unwrap(), image.to_str().unwrap());
    qemu_img(&["convert", "-f", "raw", "-O", "vmdk", "-o", "subformat=streamOptimized", raw, name]);
    fs::read(image).unwrap()
}

fn raw_of(world: &World, image: &Path) -> Vec<u8> {
    let raw = world.path("raw-of-image");
    qemu_img(&["convert", "-f", "qcow2", "-O", "raw", image.to_str().unwrap(), raw.to_str().unwrap()]);
    fs::read(raw).unwrap()
}

async fn import(files: &[(&str, &[u8])]) -> (World, Result<Ova, String>) {
    let world = World::new();
    let path = archive(&world, files);
    let ova = world.at("none").import_ova(path.to_str().unwrap(), &world.path("vm")).await;
    let left = fs::read_dir(world.dir.path()).unwrap().count();
    assert_eq!(left, if ova.is_ok() { 2 } else { 1 }, "only what was made");
    (world, ova.map_err(|error| told(&error)))
}

#[tokio::test]
async fn ovirt_archives_with_several_disks() {
    let (a, b) = (content(1, 200_000), content(2, 131_072));
    let qcow = qcow2(&a);
    let files: [(&str, &[u8]); 4] = [
        ("./master/vms/1/1.ovf", OVIRT.as_bytes()),
        ("images/g/one", &qcow),
        ("images/g/two", &b),
        ("images/g/unused", b"x"),
    ];
    let (world, ova) = import(&files).await;
    let ova = ova.unwrap();
    assert_eq!((ova.vcpus, ova.memory_mib), (4, 1024));
    let [one, two] = ova.disks.as_slice() else { panic!("{ova:?}") };
    assert_eq!((one.name.as_str(), two.name.as_str()), ("one", "two"));
    assert_eq!(one.metadata["root-partition"], "/dev/sda1");
    assert!(two.metadata.is_empty());
    assert!(raw_of(&world, &one.path).starts_with(&a));
    assert!(raw_of(&world, &two.path).starts_with(&b));
    // Done is done.
    fs::remove_file(world.path("vm.ova")).unwrap();
    let again = world.at("none").import_ova("gone", &world.path("vm")).await.unwrap();
    assert_eq!(again, ova);
}

#[tokio::test]
async fn a_flat_archive_with_a_stream_is_fetched() {
    let body = content(3, 300_000);
    let (world, server) = (World::new(), Server::start().await);
    let descriptor = ONE_DISK.replace("HREF", "box-disk1.vmdk");
    let disk = vmdk(&body);
    let path = archive(&world, &[("box/box.ovf", descriptor.as_bytes()), ("box/box-disk1.vmdk", &disk)]);
    server.put("/vm.ova", fs::read(&path).unwrap(), &[How::Truncate(1000), How::Good]);
    let ova = world.at("none").import_ova(&server.url("/vm.ova"), &world.path("in/vm")).await.unwrap();
    assert_eq!((ova.vcpus, ova.memory_mib, ova.disks[0].name.as_str()), (1, 256, "box-disk1"));
    assert!(raw_of(&world, &ova.disks[0].path).starts_with(&body));
    assert_eq!(fs::read_dir(world.path("in")).unwrap().count(), 1, "the archive is not kept");
}

#[tokio::test]
async fn what_is_missing_is_named() {
    let disk = content(1, 65_536);
    for (files, problem) in [
        (&[("a", b"x" as &[u8])][..], "it has no descriptor"),
        (&[("a.ovf", b"<a/>"), ("b.ovf", b"<a/>")], "it has 2 descriptors, not one: a.ovf, b.ovf"),
        (&[("a.ovf", b"<a")], "its descriptor is not XML at byte"),
        (&[("a.ovf", OVIRT.as_bytes())], "its disk `one` is missing; looked for images/g/one, g/one, one"),
        (&[("a.ovf", OVIRT.as_bytes()), ("one", &disk)], "its disk `two` is missing"),
    ] {
        let (_, result) = import(files).await;
        let error = result.unwrap_err();
        assert!(error.contains("vm.ova: ") && error.contains(problem), "{error}");
    }
    let world = World::new();
    let junk = world.write("vm.ova", vec![b'x'; 2000]);
    let error = world.at("none").import_ova(junk.to_str().unwrap(), &world.path("vm")).await.unwrap_err();
    assert!(told(&error).contains("it is no tar archive, or broken"), "{}", told(&error));

    let descriptor = ONE_DISK.replace("HREF", "d.raw");
    let path = archive(&world, &[("a.ovf", descriptor.as_bytes()), ("d.raw", &disk)]);
    fs::File::options().write(true).open(&path).unwrap().set_len(20_000).unwrap();
    let error = world.at("none").import_ova(path.to_str().unwrap(), &world.path("vm")).await.unwrap_err();
    assert!(told(&error).contains("vm.ova: it"), "{}", told(&error));
}

#[tokio::test]
async fn nothing_leads_out_of_an_archive() {
    let disk = content(1, 65_536);
    let (_, result) = import(&[("a.ovf", OVIRT.as_bytes()), ("../one", &disk), ("/two", &disk)]).await;
    let error = result.unwrap_err();
    assert!(
        error.contains("its file ../one would lie outside") && error.contains("its file /two would"),
        "{error}"
    );

    let descriptor = ONE_DISK.replace("HREF", "../../etc/passwd");
    let (_, result) = import(&[("a.ovf", descriptor.as_bytes())]).await;
    assert!(result.unwrap_err().contains("is missing; looked for ../../etc/passwd"));

    // A disk that is made of a file of the host.
    let secret = World::new();
    let host = secret.write("host", vec![7; 65_536]);
    let image = secret.path("image");
    let (host, name) = (host.to_str().unwrap(), image.to_str().unwrap());
    qemu_img(&["create", "-q", "-f", "qcow2", "-b", host, "-F", "raw", name]);
    let descriptor = ONE_DISK.replace("HREF", "d.qcow2");
    let image = fs::read(&image).unwrap();
    let (_, result) = import(&[("a.ovf", descriptor.as_bytes()), ("d.qcow2", &image)]).await;
    assert!(result.unwrap_err().contains(&format!("it needs {host}")));
    let extents = format!(
        "# Disk DescriptorFile\nversion=1\nCID=fffffffe\nparentCID=ffffffff\ncreateType=\"monolithicFlat\"\n\
         RW 128 FLAT \"{host}\" 0\nddb.geometry.sectors = \"63\"\nddb.adapterType = \"ide\"\n"
    );
    let (_, result) = import(&[("a.ovf", descriptor.as_bytes()), ("d.qcow2", extents.as_bytes())]).await;
    assert!(result.unwrap_err().contains(&format!("it needs {host}")));
}
