//! What becomes of the frames of a link: delay, loss, rate, duplicates, wrong bits and VLAN tags, as pure functions of
//! time and of numbers that only look like chance.

use std::time::Duration;

use crate::{
    base::random::Random,
    net::{Impairment, Vlan},
};

/// Addresses and type of an Ethernet frame.
const HEADER: usize = 14;
/// Where a VLAN tag stands: behind the addresses.
const TAG: usize = 12;
/// What marks it.
const TAGGED: [u8; 2] = [0x81, 0x00];

/// When a frame arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Arrival {
    /// On the clock of the link.
    pub(super) due: Duration,
    /// The bit that is wrong.
    pub(super) flip: Option<usize>,
}

/// One direction of a link.
pub(super) struct Shaper {
    random: Random,
    /// When the wire is free again.
    free: Duration,
    /// When the last frame arrives: none overtakes it.
    last: Duration,
}

impl Shaper {
    pub(super) fn new(seed: u64) -> Self {
        Self { random: Random::new(seed), free: Duration::ZERO, last: Duration::ZERO }
    }

    /// When a frame of `len` bytes arrives that is sent at `now`: never, once, or twice.
    pub(super) fn pass(&mut self, what: &Impairment, now: Duration, len: usize) -> Vec<Arrival> {
        if self.chance(what.loss) {
            return Vec::new();
        }
        let copies = if self.chance(what.duplicate) { 2 } else { 1 };
        (0..copies).map(|_| self.arrival(what, now, len)).collect()
    }

    fn arrival(&mut self, what: &Impairment, now: Duration, len: usize) -> Arrival {
        let sent = match what.rate_kbit {
            Some(rate) => {
                let bits = u64::try_from(len).unwrap_or(u64::MAX).saturating_mul(8);
                let takes = Duration::from_micros(bits.saturating_mul(1000) / u64::from(rate.max(1)));
                self.free = self.free.max(now) + takes;
                self.free
            }
            None => now,
        };
        let jitter = what.jitter.mul_f64(2.0 * self.random.fraction());
        let due = (sent + what.delay + jitter).saturating_sub(what.jitter);
        self.last = self.last.max(due).max(sent);
        let flip = (self.chance(what.corrupt) && len > HEADER).then(|| {
            let bits = (len - HEADER) * 8;
            HEADER * 8 + usize::try_from(self.random.number()).unwrap_or(0) % bits
        });
        Arrival { due: self.last, flip }
    }

    fn chance(&mut self, percent: f64) -> bool {
        percent > 0.0 && self.random.fraction() * 100.0 < percent
    }
}

/// A frame with that bit the other way.
pub(super) fn flipped(mut frame: Vec<u8>, bit: usize) -> Vec<u8> {
    if let Some(byte) = frame.get_mut(bit / 8) {
        *byte ^= 1 << (bit % 8);
    }
    frame
}

/// A machine's frame as its net gets it.
pub(super) fn to_net(vlan: Option<&Vlan>, mut frame: Vec<u8>) -> Option<Vec<u8>> {
    match (vlan, tag(&frame)) {
        (None, _) => Some(frame),
        (Some(Vlan::Trunk(allowed)), Some(tag)) => allowed.contains(&tag).then_some(frame),
        (Some(Vlan::Trunk(_)), None) | (Some(Vlan::Access(_)), Some(_)) => None,
        (Some(Vlan::Access(vlan)), None) => {
            if frame.len() < HEADER {
                return None;
            }
            let [high, low] = vlan.to_be_bytes();
            frame.splice(TAG..TAG, [TAGGED[0], TAGGED[1], high, low]);
            Some(frame)
        }
    }
}

/// A net's frame as a machine gets it.
pub(super) fn to_machine(vlan: Option<&Vlan>, mut frame: Vec<u8>) -> Option<Vec<u8>> {
    match (vlan, tag(&frame)) {
        (None, _) => Some(frame),
        (Some(Vlan::Trunk(allowed)), Some(tag)) => allowed.contains(&tag).then_some(frame),
        (Some(_), None) => None,
        (Some(Vlan::Access(vlan)), Some(tag)) => (*vlan == tag).then(|| {
            frame.drain(TAG..TAG + 4);
            frame
        }),
    }
}

/// The VLAN a frame is tagged with; the bits for its priority are not part of it.
fn tag(frame: &[u8]) -> Option<u16> {
    match frame.get(TAG..TAG + 4)? {
        [a, b, high, low] if [*a, *b] == TAGGED => Some(u16::from_be_bytes([*high, *low]) & 0x0fff),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn arrivals(what: &Impairment, frames: u32) -> Vec<Arrival> {
        let mut shaper = Shaper::new(1);
        (0..frames).flat_map(|i| shaper.pass(what, i * MS, 1000)).collect()
    }

    #[test]
    fn nothing_befalls_a_good_link() {
        let got = arrivals(&Impairment::default(), 5);
        let expected: Vec<_> = (0..5).map(|i| Arrival { due: i * MS, flip: None }).collect();
        assert_eq!(got, expected);
    }

    #[rstest::rstest]
    #[case(Impairment { loss: 100.0, ..Default::default() }, 0)]
    #[case(Impairment { duplicate: 100.0, ..Default::default() }, 2000)]
    fn certain_things_happen_always(#[case] what: Impairment, #[case] arrived: usize) {
        assert_eq!(arrivals(&what, 1000).len(), arrived);
    }

    #[test]
    fn chance_is_about_as_asked_and_the_same_again() {
        let what = Impairment { loss: 20.0, duplicate: 10.0, corrupt: 5.0, ..Default::default() };
        let got = arrivals(&what, 10_000);
        assert!((8_500..9_100).contains(&got.len()), "{}", got.len());
        let corrupt = got.iter().filter(|a| a.flip.is_some()).count();
        assert!((350..550).contains(&corrupt), "{corrupt}");
        assert!(got.iter().filter_map(|a| a.flip).all(|bit| (14 * 8..8000).contains(&bit)));
        assert_eq!(got, arrivals(&what, 10_000));
    }

    #[test]
    fn a_rate_makes_frames_wait_for_one_another() {
        // 1000 bytes take 8 ms.
        let what = Impairment { rate_kbit: Some(1000), delay: 100 * MS, ..Default::default() };
        let due: Vec<_> = arrivals(&what, 3).iter().map(|a| a.due).collect();
        assert_eq!(due, [108 * MS, 116 * MS, 124 * MS]);
    }

    #[test]
    fn a_wrong_bit_is_one_bit() {
        let frame = flipped(vec![0; 20], 14 * 8 + 3);
        assert_eq!(frame.iter().map(|b| b.count_ones()).sum::<u32>(), 1);
        assert_eq!(frame[14], 8);
        assert_eq!(flipped(vec![0; 2], 99), [0, 0]);
    }

    fn frame(tag: Option<u16>) -> Vec<u8> {
        let mut frame: Vec<u8> = (0..12).collect();
        frame.extend(tag.iter().flat_map(|tag| [0x81, 0, 0x20 | (tag >> 8) as u8, *tag as u8]));
        frame.extend([8, 0, 99]);
        frame
    }

    #[rstest::rstest]
    #[case(None, Some(7), Some(Some(7)), Some(Some(7)))]
    #[case(Some(Vlan::Access(7)), Some(7), None, Some(None))]
    #[case(Some(Vlan::Access(7)), Some(8), None, None)]
    #[case(Some(Vlan::Trunk(vec![7, 9])), Some(7), Some(Some(7)), Some(Some(7)))]
    #[case(Some(Vlan::Trunk(vec![7, 9])), Some(8), None, None)]
    #[case(Some(Vlan::Trunk(vec![7])), None, None, None)]
    fn ports_keep_to_their_vlans(
        #[case] vlan: Option<Vlan>,
        #[case] tag: Option<u16>,
        #[case] net: Option<Option<u16>>,
        #[case] machine: Option<Option<u16>>,
    ) {
        assert_eq!(to_net(vlan.as_ref(), frame(tag)), net.map(frame));
        assert_eq!(to_machine(vlan.as_ref(), frame(tag)), machine.map(frame));
    }

    #[test]
    fn an_access_port_tags_what_is_not() {
        let vlan = Vlan::Access(0x123);
        let tagged = to_net(Some(&vlan), frame(None)).unwrap();
        assert_eq!(tagged[12..16], [0x81, 0, 1, 0x23]);
        assert_eq!(to_machine(Some(&vlan), tagged).unwrap(), frame(None));
        assert_eq!(to_machine(Some(&vlan), frame(None)), None);
        assert_eq!(to_net(Some(&vlan), vec![1, 2, 3]), None);
    }

    proptest! {
        #[test]
        fn no_frame_overtakes_another_or_arrives_before_it_is_sent(
            seed: u64, delay in 0u64..50, jitter in 0u64..80, rate in prop::option::of(1u32..100_000),
            frames in prop::collection::vec((0u32..20, 14usize..2000), 1..50),
        ) {
            let what = Impairment {
                delay: Duration::from_millis(delay),
                jitter: Duration::from_millis(jitter),
                rate_kbit: rate,
                duplicate: 10.0,
                ..Default::default()
            };
            let (mut shaper, mut now, mut last) = (Shaper::new(seed), Duration::ZERO, Duration::ZERO);
            for (pause, len) in frames {
                now += pause * MS;
                for arrival in shaper.pass(&what, now, len) {
                    prop_assert!(arrival.due >= last && arrival.due >= now);
                    prop_assert!(arrival.due + what.jitter >= now + what.delay);
                    last = arrival.due;
                }
            }
        }
    }
}
