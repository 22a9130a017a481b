//! Where partitions begin, and what a part of a disk holds, by its first bytes.

/// Bytes of a sector, as partition tables count.
pub(super) const SECTOR: u64 = 512;
/// Of each kind of table, as many as are ever there.
const MOST: u64 = 128;

/// The first bytes of all partitions, or of the disk alone when it has none. `read` gives a sector.
pub(super) fn offsets<E>(
    mut read: impl FnMut(u64) -> Result<[u8; SECTOR as usize], E>,
) -> Result<Vec<u64>, E> {
    let first = read(0)?;
    let mut found = Vec::new();
    if bytes(&first, 510) == Some([0x55, 0xaa]) {
        for (kind, start) in entries(&first) {
            match kind {
                0xee => gpt(&mut read, &mut found)?,
                0x05 | 0x0f | 0x85 => logical(&mut read, start, &mut found)?,
                _ => found.push(start * SECTOR),
            }
        }
    }
    // A boot sector ends like a partition table, but its disk is one file system.
    found.insert(0, 0);
    found.dedup();
    Ok(found)
}

/// What is there instead of a file system we can read, for people.
pub(super) fn other_contents(start: &[u8]) -> &'static str {
    let at = |offset: usize, magic: &[u8]| start.get(offset..).is_some_and(|rest| rest.starts_with(magic));
    if at(0, b"XFSB") {
        "xfs"
    } else if at(0x1_0040, b"_BHRfS_M") {
        "btrfs"
    } else if at(0x200, b"LABELONE") {
        "a volume of LVM"
    } else if at(0, b"LUKS\xba\xbe") {
        "an encrypted volume"
    } else if at(0x8001, b"CD001") {
        "a CD"
    } else if at(0x52, b"FAT") || at(0x36, b"FAT") {
        "FAT"
    } else if start.iter().all(|&byte| byte == 0) {
        "nothing"
    } else {
        "no file system that is known here"
    }
}

/// Kind and first sector of the entries of a table in a boot sector.
fn entries(sector: &[u8]) -> Vec<(u8, u64)> {
    let entry = |n: usize| {
        let at = 446 + 16 * n;
        let kind = *sector.get(at + 4)?;
        Some((kind, u64::from(u32::from_le_bytes(bytes(sector, at + 8)?))))
    };
    (0..4).filter_map(entry).filter(|&(kind, start)| kind != 0 && start != 0).collect()
}

fn gpt<E>(
    read: &mut impl FnMut(u64) -> Result<[u8; SECTOR as usize], E>,
    found: &mut Vec<u64>,
) -> Result<(), E> {
    let header = read(1)?;
    if !header.starts_with(b"EFI PART") {
        return Ok(());
    }
    let number = |at: usize| bytes(&header, at).map_or(0, u64::from_le_bytes);
    let small = |at: usize| u64::from(bytes(&header, at).map_or(0, u32::from_le_bytes));
    let (table, count, size) = (number(72), small(80).min(MOST), small(84));
    if size == 0 || !size.is_power_of_two() || size > SECTOR {
        return Ok(());
    }
    for n in 0..count {
        let sector = read(table.saturating_add(n * size / SECTOR))?;
        let entry = usize::try_from(n * size % SECTOR).unwrap_or(0);
        let is_used = bytes::<16>(&sector, entry).is_some_and(|kind| kind != [0; 16]);
        if let (true, Some(start)) = (is_used, bytes(&sector, entry + 32).map(u64::from_le_bytes)) {
            found.extend(start.checked_mul(SECTOR));
        }
    }
    Ok(())
}

/// Partitions within an extended one: a chain of boot sectors.
fn logical<E>(
    read: &mut impl FnMut(u64) -> Result<[u8; SECTOR as usize], E>,
    extended: u64,
    found: &mut Vec<u64>,
) -> Result<(), E> {
    let mut at = extended;
    for _ in 0..MOST {
        let mut next = None;
        for (kind, start) in entries(&read(at)?) {
            match kind {
                0x05 | 0x0f | 0x85 => next = Some(extended + start),
                _ => found.push((at + start) * SECTOR),
            }
        }
        match next {
            Some(next) => at = next,
            None => break,
        }
    }
    Ok(())
}

fn bytes<const N: usize>(from: &[u8], at: usize) -> Option<[u8; N]> {
    from.get(at..at.checked_add(N)?)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A disk of `sectors`, those of them that are not empty.
    fn of(sectors: &[(u64, [u8; 512])]) -> Vec<u64> {
        let read =
            |at| Ok::<_, ()>(sectors.iter().find(|(n, _)| *n == at).map_or([0; 512], |(_, sector)| *sector));
        offsets(read).unwrap().into_iter().map(|offset| offset / SECTOR).collect()
    }

    /// A boot sector with these kinds and first sectors.
    fn table(entries: &[(u8, u32)]) -> [u8; 512] {
        let mut sector = [0; 512];
        sector[510..].copy_from_slice(&[0x55, 0xaa]);
        for (n, (kind, start)) in entries.iter().enumerate() {
            sector[446 + 16 * n + 4] = *kind;
            sector[446 + 16 * n + 8..][..4].copy_from_slice(&start.to_le_bytes());
        }
        sector
    }

    #[test]
    fn partitions_of_the_old_kind_are_found_also_within_one_another() {
        assert_eq!(of(&[(0, table(&[(0x83, 2048), (0x82, 10_240)]))]), [0, 2048, 10_240]);
        let first = table(&[(0x83, 2048), (0x05, 10_240)]);
        let (second, third) = (table(&[(0x83, 2048), (0x05, 8192)]), table(&[(0x83, 64)]));
        assert_eq!(of(&[(0, first), (10_240, second), (18_432, third)]), [0, 2048, 12_288, 18_496]);
        // A chain that leads back to itself ends.
        let circle = table(&[(0x83, 1), (0x05, 0)]);
        assert_eq!(of(&[(0, table(&[(0x05, 100)])), (100, circle)]), [0, 101]);
    }

    #[test]
    fn partitions_of_the_new_kind_are_found_wherever_the_table_is() {
        let mut header = [0; 512];
        header[..8].copy_from_slice(b"EFI PART");
        header[72..80].copy_from_slice(&7_u64.to_le_bytes());
        header[80..84].copy_from_slice(&128_u32.to_le_bytes());
        header[84..88].copy_from_slice(&128_u32.to_le_bytes());
        let mut entries = [0; 512];
        for (n, start) in [(0, 2048_u64), (2, 10_240)] {
            entries[n * 128..][..16].copy_from_slice(&[7; 16]);
            entries[n * 128 + 32..][..8].copy_from_slice(&start.to_le_bytes());
        }
        let protective = table(&[(0xee, 1)]);
        assert_eq!(of(&[(0, protective), (1, header), (7, entries)]), [0, 2048, 10_240]);
        assert_eq!(of(&[(0, protective)]), [0], "its header is gone");
    }

    #[test]
    fn a_disk_without_a_table_is_one_file_system() {
        assert_eq!(offsets(|_| Ok::<_, ()>([0; 512])), Ok(vec![0]));
        let ends_like_one = |_| {
            let mut sector = [0; 512];
            sector[510..].copy_from_slice(&[0x55, 0xaa]);
            Ok::<_, ()>(sector)
        };
        assert_eq!(offsets(ends_like_one), Ok(vec![0]));
    }

    proptest::proptest! {
        #[test]
        fn no_table_is_too_odd(disk in proptest::collection::vec(0_u8..=255, 2048), ends in 0..4_usize) {
            let mut disk = disk;
            for sector in 0..ends {
                disk[sector * 512 + 510..][..2].copy_from_slice(&[0x55, 0xaa]);
                disk[450] = 0xee;
                disk[512..520].copy_from_slice(b"EFI PART");
            }
            let read = |sector: u64| {
                let at = usize::try_from(sector % 4).unwrap() * 512;
                Ok::<[u8; 512], ()>(disk[at..at + 512].try_into().unwrap())
            };
            let found = offsets(read).unwrap();
            proptest::prop_assert!(found.first() == Some(&0) && found.len() <= 600);
        }
    }
}
