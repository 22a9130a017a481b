//! What is read from a daemon's description of its host.

use super::Element;

/// User and group emulators run as, by the security model that separates them by user.
#[must_use]
pub fn emulator_user(capabilities: &Element) -> Option<(u32, u32)> {
    let models = capabilities.child("host")?.children.iter().filter(|child| child.name == "secmodel");
    let by_user = models.into_iter().find(|model| model.child("model").is_some_and(|m| m.text == "dac"))?;
    let (user, group) = by_user.child("baselabel")?.text.split_once(':')?;
    let number = |text: &str| text.strip_prefix('+').unwrap_or(text).parse().ok();
    Some((number(user)?, number(group)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[rstest::rstest]
    #[case(
        "<secmodel><model>none</model><doi>0</doi></secmodel><secmodel><model>dac</model><doi>0</doi>\
         <baselabel type='kvm'>+64055:+106</baselabel><baselabel type='qemu'>+64055:+106</baselabel></secmodel>",
        Some((64_055, 106))
    )]
    #[case("<secmodel><model>dac</model><baselabel type='kvm'>+0:+0</baselabel></secmodel>", Some((0, 0)))]
    #[case("<secmodel><model>none</model></secmodel>", None)]
    #[case("<secmodel><model>dac</model><baselabel type='kvm'>qemu</baselabel></secmodel>", None)]
    #[case("", None)]
    fn the_emulators_user_is_found(#[case] models: &str, #[case] expected: Option<(u32, u32)>) {
        let xml = format!("<capabilities><host><cpu/>{models}</host><guest/></capabilities>");
        assert_eq!(emulator_user(&Element::parse(&xml).unwrap()), expected);
    }
}
