//! Access lists of files in the kernel's form: read, extended, written back, and judged. Bytes only; who touches files
//! is `access`.

/// Read permission; together with the other two the bits of `ls -l`.
pub(super) const READ: u16 = 4;
/// Write permission.
pub(super) const WRITE: u16 = 2;
/// Search permission of a folder.
pub(super) const SEARCH: u16 = 1;

const VERSION: u32 = 2;
const NOBODY: u32 = u32::MAX;

const OWNER: u16 = 0x01;
const USER: u16 = 0x02;
const OWNING_GROUP: u16 = 0x04;
const GROUP: u16 = 0x08;
const MASK: u16 = 0x10;
const OTHERS: u16 = 0x20;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    tag: u16,
    id: u32,
    rights: u16,
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Subject<'a> {
    pub(super) uid: u32,
    pub(super) groups: &'a [u32],
}

/// A file's access list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Acl(Vec<Entry>);

impl Acl {
    /// The list a file without one has by its mode.
    pub(super) fn of_mode(mode: u32) -> Self {
        let bits = |shift: u32| u16::try_from((mode >> shift) & 7).unwrap_or(0);
        let entry = |tag, shift| Entry { tag, id: NOBODY, rights: bits(shift) };
        Self(vec![entry(OWNER, 6), entry(OWNING_GROUP, 3), entry(OTHERS, 0)])
    }

    /// Reads the kernel's form; `None` when it is none.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let (version, entries) = bytes.split_first_chunk::<4>()?;
        let (entries, rest) = entries.as_chunks::<8>();
        if u32::from_le_bytes(*version) != VERSION || !rest.is_empty() {
            return None;
        }
        let entry = |&[t0, t1, r0, r1, i0, i1, i2, i3]: &[u8; 8]| Entry {
            tag: u16::from_le_bytes([t0, t1]),
            rights: u16::from_le_bytes([r0, r1]),
            id: u32::from_le_bytes([i0, i1, i2, i3]),
        };
        Some(Self(entries.iter().map(entry).collect()))
    }

    /// The kernel's form.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut bytes = VERSION.to_le_bytes().to_vec();
        for entry in &self.0 {
            bytes.extend(entry.tag.to_le_bytes());
            bytes.extend(entry.rights.to_le_bytes());
            bytes.extend(entry.id.to_le_bytes());
        }
        bytes
    }

    /// Gives the user `uid` these rights, besides those it has by name.
    pub(super) fn grant(&mut self, uid: u32, rights: u16) {
        let named = self.0.iter_mut().find(|e| e.tag == USER && e.id == uid);
        match named {
            Some(entry) => entry.rights |= rights,
            None => self.0.push(Entry { tag: USER, id: uid, rights }),
        }
        // The mask is the most a named entry can have. Without one so far, the owning group keeps exactly what it had.
        let group = self.0.iter().find(|e| e.tag == OWNING_GROUP).map_or(0, |e| e.rights);
        match self.0.iter_mut().find(|e| e.tag == MASK) {
            Some(mask) => mask.rights |= rights,
            None => self.0.push(Entry { tag: MASK, id: NOBODY, rights: group | rights }),
        }
        self.0.sort_unstable();
    }

    /// Whether `who` has all of `rights` on a file of `owner` and `group`.
    pub(super) fn allows(&self, who: &Subject<'_>, (owner, group): (u32, u32), rights: u16) -> bool {
        let mask = self.0.iter().find(|e| e.tag == MASK).map_or(7, |e| e.rights);
        let has = |given: u16| given & rights == rights;
        let of = |tag: u16| self.0.iter().filter(move |e| e.tag == tag);
        if who.uid == owner {
            return of(OWNER).any(|e| has(e.rights));
        }
        if let Some(entry) = of(USER).find(|e| e.id == who.uid) {
            return has(entry.rights & mask);
        }
        let in_group = |e: &&Entry| match e.tag {
            OWNING_GROUP => who.groups.contains(&group),
            GROUP => who.groups.contains(&e.id),
            _ => false,
        };
        let mut groups = self.0.iter().filter(in_group).peekable();
        if groups.peek().is_some() {
            return groups.any(|e| has(e.rights & mask));
        }
        of(OTHERS).any(|e| has(e.rights))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMULATOR: Subject<'static> = Subject { uid: 64055, groups: &[106] };
    const FILE: (u32, u32) = (1000, 1000);

    #[rstest::rstest]
    #[case(0o600, FILE, READ, false)]
    #[case(0o604, FILE, READ, true)]
    #[case(0o604, FILE, READ | WRITE, false)]
    #[case(0o711, FILE, SEARCH, true)]
    #[case(0o700, (64055, 0), READ | WRITE, true)]
    #[case(0o007, (64055, 0), READ, false)]
    #[case(0o060, (0, 106), READ | WRITE, true)]
    #[case(0o606, (0, 106), READ, false)]
    fn a_mode_is_judged_as_the_kernel_does(
        #[case] mode: u32,
        #[case] of: (u32, u32),
        #[case] rights: u16,
        #[case] expected: bool,
    ) {
        assert_eq!(Acl::of_mode(mode).allows(&EMULATOR, of, rights), expected);
    }

    #[test]
    fn a_grant_is_for_one_user_alone_and_survives_the_kernels_form() {
        let mut acl = Acl::of_mode(0o600);
        acl.grant(64055, READ | WRITE);
        let acl = Acl::parse(&acl.bytes()).unwrap();
        assert!(acl.allows(&EMULATOR, FILE, READ | WRITE));
        assert!(!acl.allows(&Subject { uid: 1001, groups: &[1000] }, FILE, READ));
        assert!(acl.allows(&Subject { uid: 1000, groups: &[] }, FILE, READ | WRITE));
        let mut twice = acl.clone();
        twice.grant(64055, READ);
        assert_eq!(twice, acl);
    }

    #[test]
    fn a_mask_limits_what_names_have() {
        let mut acl = Acl::of_mode(0o640);
        acl.grant(64055, READ);
        acl.0.iter_mut().find(|e| e.tag == MASK).unwrap().rights = 0;
        assert!(!acl.allows(&EMULATOR, FILE, READ));
        acl.grant(64055, READ);
        assert!(acl.allows(&EMULATOR, FILE, READ));
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_an_access_list_or_none(bytes: Vec<u8>) {
            if let Some(acl) = Acl::parse(&bytes) {
                proptest::prop_assert_eq!(acl.bytes(), bytes);
            }
        }
    }
}
