//! Every kind of problem, with its code, its place and what to do.

use super::files::loaded;
use crate::change::ChangeFileError;

/// `line:column code: message; help` for each problem.
fn found(text: &str) -> Vec<String> {
    let all = match loaded(text) {
        Ok(loaded) => loaded.warnings,
        Err(ChangeFileError::Invalid(all)) => all,
        Err(error) => panic!("{error}"),
    };
    let help = |help: &Option<String>| help.as_ref().map(|help| format!("; {help}")).unwrap_or_default();
    all.iter()
        .map(|d| format!("{}:{} {}: {}{}", d.line, d.column, d.code, d.message, help(&d.help)))
        .collect()
}

#[track_caller]
fn check(text: &str, place: &str, words: &str) {
    let found = found(text);
    let fits = |line: &String| line.starts_with(place) && line.contains(words);
    assert!(found.iter().any(fits), "{place} {words} is not among\n{}\nof\n{text}", found.join("\n"));
    assert_eq!(found.len(), 1, "{}", found.join("\n"));
}

const HEAD: &str = "version: 1\ndevices: { sw1: {} }\ndrivers: { sh: { kind: local } }\n";

/// A file with these keys for the only step, on line 6.
fn with_step(keys: &str) -> String {
    format!("{HEAD}scenario:\n  name: all\n  nodes: [ {{ step: a, {keys} }} ]\n")
}

#[rstest::rstest]
#[case("targets: all, aply: {}", "6:37 init::unknown-key", "did you mean `apply`?")]
#[case("targets: [sw2]", "6:33 device.unknown", "there is no device `sw2`; did you mean `sw1`?")]
#[case("targets: sw1", "6:32 device.unknown", "write `[sw1]`")]
#[case("after: [b], targets: all", "6:31 dep.unknown", "there is no change or scenario `b`")]
#[case("after: [a], targets: all", "6:31 dep.self", "cannot wait for itself")]
#[case("driver: hs, targets: all", "6:31 prov.unknown", "did you mean `sh`?")]
#[case("matrix: m, targets: all", "6:31 iter.unknown", "there is no matrix `m`")]
#[case("template: t, targets: all", "6:33 change.unknown-template", "there is no template `t`")]
#[case("policy: { noop: false }", "6:20 change.no-target", "mark its policy `noop`")]
#[case("targets: all, vars: { device.x: 1 }", "6:45 name.reserved", "is a name of ours")]
#[case("targets: all, apply: { checks: ['1 = 1'] }", "6:58 cond.syntax", "equality is `==`")]
#[case("targets: all, apply: { checks: [{ expr: 'resuls.x == 1' }] }", "6:64 cond.unknown-name", "`results`")]
#[case("targets: all, apply: { exchanges: [{ send: '100% x' }] }", "6:70 subst.bad-percent", "`%%`")]
#[case("targets: all, apply: { exchanges: [{ send: '%(no)s' }] }", "6:58 subst.unresolved", "`no` for sw1")]
#[case(
    "targets: all, apply: { exchanges: [{ expect: '(' }] }",
    "6:68 expect.bad-regex",
    "bad regular expression"
)]
#[case("targets: all, apply: { exchanges: [{ timeout: 5x }] }", "6:69 cmd.bad-timeout", "is no duration")]
#[case("targets: all, policy: { retry: { max: many } }", "6:61 change.bad-retry", "no whole number")]
#[case("targets: all, policy: { retry: { max: 1, delay: -1 } }", "6:71 change.bad-retry", "is no duration")]
#[case("targets: all, policy: { on_fail: contine }", "6:56 init::bad-choice", "did you mean `continue`?")]
#[case("targets: all, rollback: [{ alert: a, checks: [] }]", "6:57 change.bad-phase-child", "not both")]
#[case("targets: all, rollback: [{ alert: a }, { alert: b }]", "6:20 change.bad-phase-child", "last")]
fn steps(#[case] keys: &str, #[case] place: &str, #[case] words: &str) {
    check(&with_step(keys), place, words);
}

const TAIL: &str = "scenario: { name: all, nodes: [ { step: a, targets: all } ] }\n";

#[rstest::rstest]
#[case("devices: { sw1: {} }", "4:41 prov.none", "`local` runs them on this machine")]
#[case("drivers: { sh: { kind: local } }", "4:53 device.none-for-all", "there are no devices")]
#[case("drivers: { sh: { kind: session } }\ndevices: { sw1: {} }", "3:12 prov.no-connect-command", "`argv`")]
#[case("drivers: { sh: { kind: telnet } }\ndevices: { sw1: {} }", "3:24 init::bad-choice", "`telnet`")]
fn surroundings(#[case] keys: &str, #[case] place: &str, #[case] words: &str) {
    check(&format!("version: 1\n\n{keys}\n{TAIL}"), place, words);
}

#[rstest::rstest]
#[case("kind: local, user: ada", "3:31 prov.bad-option", "it goes with `ssh`, `http`, `cvp`")]
#[case("kind: ssh, url: x", "3:29 prov.bad-option", "kind `ssh` has no option `url`")]
#[case("kind: ssh, user: ada", "3:12 prov.bad-option", "`key_file` or `password_env`")]
#[case("kind: ssh, key_file: k", "3:12 prov.bad-option", "without the option `user`")]
#[case("kind: ssh, port: 70000", "3:35 prov.bad-option", "`70000` is no port")]
#[case("kind: ssh, host_key: know", "3:39 prov.bad-option", "did you mean `known`?")]
#[case("kind: ssh, terminal: perhaps", "3:39 prov.bad-option", "is `true` or `false`, not `perhaps`")]
#[case("kind: ssh, known_hosts: '%(x)s'", "3:42 prov.bad-option", "`known_hosts` has no variables")]
#[case("kind: ssh, user: a, password_env: 'my secret'", "3:52 prov.bad-option", "no name of a variable")]
#[case("kind: http", "3:12 prov.bad-option", "needs the option `url`")]
#[case("kind: http, url: x, method: get", "3:46 prov.bad-option", "did you mean `GET`?")]
#[case("kind: http, url: x, user: a", "3:12 prov.bad-option", "`user` and `password_env` go together")]
#[case("kind: http, url: x, headers: { 'a b': c }", "3:49 prov.bad-option", "no name of a header")]
#[case("kind: session, argv: [x], headers: {}", "3:44 prov.bad-option", "it goes with `http`")]
#[case("kind: cvp, url: x", "3:12 prov.bad-option", "lets nobody in who does not log in")]
#[case("kind: cvp, insecure: true", "3:12 prov.bad-option", "say `url`, or drop the other options")]
#[case("kind: cvp, url: x, token_env: T, user: a, password_env: P", "3:12 prov.bad-option", "keep one")]
#[case("kind: http, url: x, ca_file: c, insecure: true", "3:12 prov.bad-option", "drop `insecure`")]
#[case("kind: http, url: 'http://%(no)s'", "4:41 subst.unresolved", "`no` for sw1")]
fn options_of_drivers(#[case] options: &str, #[case] place: &str, #[case] words: &str) {
    check(
        &format!("version: 1\ndevices: {{ sw1: {{}} }}\ndrivers: {{ it: {{ {options} }} }}\n{TAIL}"),
        place,
        words,
    );
}

#[rstest::rstest]
#[case("m: { rows: [] }", "3:13 iter.empty", "has no rows")]
#[case("m: { }", "3:13 iter.no-file", "needs `rows`, `csv` or `machines`")]
#[case("m: { csv: no.csv }", "3:23 iter.no-file", "cannot read /lab/no.csv")]
#[case("m: { csv: ours.csv }", "3:23 name.reserved", "`run.x` is a name of ours")]
#[case("m: { csv: ragged.csv }", "3:23 iter.ragged", "line 2 has 1 cells")]
fn matrices(#[case] matrix: &str, #[case] place: &str, #[case] words: &str) {
    let head = "version: 1\ndevices: { sw1: {} }\n";
    check(
        &format!("{head}matrices: {{ {matrix} }}\ndrivers: {{ sh: {{ kind: local }} }}\n{TAIL}"),
        place,
        words,
    );
}

#[test]
fn all_problems_come_at_once_and_in_order() {
    let text =
        with_step("targets: [x, sw1], driver: y, after: [z], apply: { exchanges: [{ send: '%(q)s' }] }");
    let codes: Vec<_> = found(&text).iter().map(|line| line.split(' ').nth(1).map(str::to_owned)).collect();
    let codes: Vec<_> = codes.into_iter().flatten().collect();
    assert_eq!(codes, ["device.unknown:", "prov.unknown:", "dep.unknown:", "subst.unresolved:"]);
}

#[test]
fn several_drivers_are_worth_a_word() {
    let text = with_step("targets: all").replace("kind: local }", "kind: local }, other: { kind: \"null\" }");
    check(&text, "6:20 prov.ambiguous", "say `driver: sh`");
}

#[rstest::rstest]
#[case("", "1:1 cfg.parse", "the file is empty")]
#[case("<config><a></config>", "1:12 cfg.parse", "bad XML")]
#[case("<config>", "1:2 cfg.parse", "does not end")]
#[case("<config>&x;</config>", "1:9 cfg.parse", "unknown entity")]
#[case("<change name='a'/>", "1:2 cfg.bad-root", "put `<config>` around it")]
#[case("<config dialect='old'/>", "1:18 cfg.unknown-attribute", "it is `legacy`")]
#[case("<config xmlns:x='x'><x:include href='no'/></config>", "1:38 cfg.include", "cannot include /lab/no")]
#[case("<config xmlns:x='x'><x:include/></config>", "1:22 cfg.include", "`href`")]
#[case(
    "<config xmlns:x='x'><x:include href='whole.xml'/></config>",
    "1:2 cfg.include",
    "cannot have `config`"
)]
#[case("<config><chnage/></config>", "1:10 cfg.unknown-element", "did you mean `change`?")]
#[case("<config><prereq>a</prereq></config>", "1:10 dep.unscoped", "say `for")]
#[case("<config><prereq for='b'>a</prereq></config>", "1:22 dep.unknown", "there is no change `b`")]
#[case("<config><device/></config>", "1:10 name.missing", "needs the attribute `name`")]
#[case("<config><device name='a'/><device name='a'/></config>", "1:41 name.duplicate", "another device `a`")]
#[case("<config><iterator name='i' type='sql'/></config>", "1:34 iter.bad-type", "use the type `csv`")]
#[case("<config><iterator name='i' type='csv'/></config>", "1:10 iter.no-file", "`file`")]
#[case("<config><provisioner name='p' type='X'/></config>", "1:37 prov.bad-type", "`X`")]
fn configurations(#[case] text: &str, #[case] place: &str, #[case] words: &str) {
    check(text, place, words);
}

#[rstest::rstest]
#[case("name='a' type='Change' onfial='retry'", "", "3:32 cfg.unknown-attribute", "did you mean `onfail`?")]
#[case("name='a' type='ComandChange'", "", "3:24 change.bad-type", "did you mean `CommandChange`?")]
#[case(
    "name='a' type='Change' onfail='contine'",
    "",
    "3:40 cfg.unknown-attribute",
    "did you mean `continue`?"
)]
#[case("name='a'", "", "3:2 change.no-type", "needs the attribute `type`")]
#[case("type='Change'", "", "3:2 name.missing", "needs the attribute `name`")]
#[case("name='a' type='Change' onfail='retry' retry_delay='x'", "", "3:", "change.bad-retry")]
#[case("name='a' type='Change'", "<imlp/>", "4:2 cfg.unknown-element", "did you mean `impl`?")]
#[case("name='a' type='Change'", "<depends on='b'/>", "4:14 dep.unknown", "`b`")]
#[case(
    "name='a' type='Change'",
    "<impl><zapicommand/></impl>",
    "4:8 change.bad-phase-child",
    "is not spoken"
)]
#[case(
    "name='a' type='Change'",
    "<impl><condtion/></impl>",
    "4:8 change.bad-phase-child",
    "did you mean `condition`?"
)]
#[case(
    "name='a' type='Change'",
    "<impl><command><send/><send/></command></impl>",
    "4:24 cmd.many-send",
    "two"
)]
#[case(
    "name='a' type='Change'",
    "<impl><command><expect/><expect/></command></impl>",
    "4:26 cmd.many-expect",
    ""
)]
#[case(
    "name='a' type='Change'",
    "<impl><condition>1 &lt; x</condition></impl>",
    "4:18 cond.unknown-name",
    "`x`"
)]
#[case(
    "name='a' type='Change'",
    "<impl><condition>1 == x</condition></impl>",
    "4:23 cond.unknown-name",
    "`x`"
)]
#[case(
    "name='a' type='Change'",
    "<impl><command><send>%x</send></command></impl>",
    "4:22 subst.bad-percent",
    "`%%`"
)]
fn changes(#[case] attributes: &str, #[case] children: &str, #[case] place: &str, #[case] words: &str) {
    let head = "<config><device name='sw1'/><provisioner name='p' type='Provisioner'/>\n\n";
    let text = format!("{head}<change {attributes}><target name='sw1'/>\n{children}</change></config>");
    check(&text, place, words);
}

#[test]
fn files_that_include_themselves_have_an_end() {
    let found = found("<config xmlns:x='x'><x:include href='loop.xml'/></config>");
    assert!(
        found.iter().any(|line| line.contains("cfg.include: /lab/loop.xml is included too deeply")),
        "{found:?}"
    );
}

#[test]
fn scenarios_are_verified_without_devices() {
    let verify = "verify: { checks: ['%(device.name)s == %(mtu)s', 'results.exitcode == 0'] }";
    let text = with_step("targets: all")
        .replace("  name: all", &format!("  name: all\n  vars: {{ mtu: 1 }}\n  {verify}"));
    check(&text, "7:22 subst.unresolved", "`device.name` for the verification of `all`");
}

#[test]
fn circles_are_shown() {
    let text = format!(
        "{HEAD}scenario:\n  name: all\n  nodes:\n  - {{ step: a, targets: all, after: [b] }}\n  \
         - {{ step: b, targets: all, after: [a] }}\n"
    );
    check(&text, "7:13 dep.cycle", "`a` -> `b` -> `a`");
}
