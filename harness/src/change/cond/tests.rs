//! The grammar, row by row, and what any text may do to it.

use proptest::prelude::*;

use super::expr::{Field, Function, Op};
use super::*;
use crate::change::text::Vars;

fn results() -> Results {
    Results {
        exitcode: Some(0),
        cmdoutput: "et1 is up\nrc=0\nVolume 'v1' destroyed\n".to_owned(),
        stdout: "é out".to_owned(),
        status: Some("passed".to_owned()),
        errno: Some(13040),
        duration_ms: 250,
        tree: Some(tree()),
        ..Results::default()
    }
}

fn tree() -> Element {
    let leaf = |name: &str, text: &str| Element {
        name: name.to_owned(),
        text: text.to_owned(),
        attributes: vec![("unit".to_owned(), text.to_uppercase())],
        ..Element::default()
    };
    let within = |name: &str, children: Vec<Element>| Element {
        name: name.to_owned(),
        children,
        ..Element::default()
    };
    let info = |name: &str| within("vfiler-info", vec![leaf("name", name)]);
    within("netapp", vec![within("results", vec![within("vfilers", vec![info("vf_1"), info("vf_jpw")])])])
}

fn vars() -> Vars {
    let pairs = [
        ("port", "et1"),
        ("volname", "v1"),
        ("quote", "' or True or '"),
        ("one", "1"),
        ("who", "vf_jpw"),
        ("bad", "("),
    ];
    pairs.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

fn evaluated(text: &str, dialect: Dialect) -> Result<bool, String> {
    let condition = Condition::parse(text, dialect).map_err(|error| format!("{}: {error}", error.code))?;
    let results = results();
    condition.holds(&Facts { results: &results, values: &vars() }).map_err(|error| error.to_string())
}

#[rstest::rstest]
// What shipped files say.
#[case("results.cmdoutput.find(\"Vfiler not found:\") >= 0", false)]
#[case("results.cmdoutput.find(\"No volume named '%(volname)s' exists.\") >= 0", false)]
#[case("results.cmdoutput.find(\"Volume '%(volname)s' destroyed\") >= 0", true)]
#[case("results.cmdoutput.find('invalid qtree name') < 0", true)]
#[case("results.cmdoutput.find(\"Can't find path\") == -1", true)]
#[case("results.exitcode == 0", true)]
#[case("results.errno == 13040", true)]
#[case("results.status == 'passed'", true)]
#[case("results.tree.xpath(\"/netapp/results/vfilers/vfiler-info/name = 'vf_jpw'\") == True", true)]
#[case("re.search(\"rc=0\", results.cmdoutput)", true)]
// Precedence and words.
#[case("true or false and false", true)]
#[case("not false and false", false)]
#[case("not (false and false)", true)]
#[case("not not True", true)]
#[case("1 + 2 - 3 == 0 and 'a' + 'b' == 'ab'", true)]
#[case("5 - 2 - 1 == 2", true)]
#[case("(False or True) and (None == null)", true)]
// Comparisons.
#[case("1 != 2", true)]
#[case("1 < 1.5", true)]
#[case("2 <= 2", true)]
#[case("'b' > 'a'", true)]
#[case("-1 >= 0", false)]
#[case("'up' in results.cmdoutput", true)]
#[case("'down' not in results.cmdoutput", true)]
#[case("results.cmdoutput =~ 'rc=[0-9]+'", true)]
#[case("results.cmdoutput !~ '^rc'", true)]
#[case("results.reason == None", true)]
#[case("results.status != None", true)]
#[case("results.exitcode == None", false)]
// Methods and functions.
#[case("results.stdout.find('out') == 2", true)]
#[case("results.cmdoutput.count('\\n') == 3", true)]
#[case("'abc'.startswith('ab') and 'abc'.endswith('bc') and 'abc'.contains('b')", true)]
#[case("' aB '.strip().lower() == 'ab' and 'aB'.upper() == 'AB'", true)]
#[case("len(results.stdout) == 5", true)]
#[case("int('12') + int(%(one)s) == 13", true)]
#[case("int(1.9) == 1 and int(' 7 ') == 7", true)]
#[case("re.match('et', results.cmdoutput)", true)]
#[case("re.match('is|up', results.cmdoutput)", false)]
#[case("results.duration_ms < 300 and not results.timed_out and results.stderr == ''", true)]
// Variables.
#[case("%(port)s == 'et1' and vars.port == \"et1\"", true)]
#[case("results.cmdoutput.contains('%(port)s is up')", true)]
#[case("'%(quote)s' == 'x'", false)]
#[case("%(quote)s == 'x'", false)]
#[case("'100%%' == '100\\x25'", true)]
#[case("'\\t\\r\\\\\\'\\\"' != \"\"", true)]
// Paths.
#[case("xpath('/netapp/results/vfilers/vfiler-info[2]/name/text()')", true)]
#[case("xpath('/netapp/results/vfilers/vfiler-info[3]/name')", false)]
#[case("xpath('/netapp/results/vfilers/vfiler-info[1]/name = \"vf_jpw\"')", false)]
#[case("xpath('/netapp/results/vfilers/vfiler-info/name/@unit = \"VF_1\"')", true)]
#[case("xpath(\"/netapp/results/vfilers/vfiler-info/name = '%(who)s'\")", true)]
#[case("xpath(\"/netapp/results/vfilers/vfiler-info/name = '%(quote)s'\")", false)]
#[case("xpath('/results')", false)]
fn holds(#[case] text: &str, #[case] expected: bool) {
    assert_eq!(evaluated(text, Dialect::Current), Ok(expected), "{text}");
}

#[rstest::rstest]
#[case("exitcode == 0", true)]
#[case("cmdoutput.find('rc') > 0", true)]
#[case("results.cmdoutput", true)]
#[case("results.exitcode", false)]
#[case("results.reason or 0.0", false)]
#[case("not ''", true)]
#[case("re.search('rc=\\d', cmdoutput)", true)]
fn legacy_files_may_say_less(#[case] text: &str, #[case] expected: bool) {
    assert_eq!(evaluated(text, Dialect::Legacy), Ok(expected), "{text}");
    assert!(evaluated(text, Dialect::Current).is_err(), "{text}");
}

#[rstest::rstest]
#[case("", 0..0, "cond.syntax", "expected a value, here is the end")]
#[case("1 ==", 4..4, "cond.syntax", "expected a value")]
#[case("1 < 2 < 3", 6..7, "cond.syntax", "do not chain")]
#[case("1 = 1", 2..3, "cond.syntax", "equality is `==`")]
#[case("true && true", 5..6, "cond.syntax", "write `and`")]
#[case("true AND true", 5..8, "cond.syntax", "lower case")]
#[case("(true", 5..5, "cond.syntax", "expected `)`")]
#[case("'a", 0..2, "cond.syntax", "no closing '")]
#[case("'\\d' == ''", 1..3, "cond.syntax", "no escape `\\d`")]
#[case("'\\xé0' == ''", 1..3, "cond.syntax", "two hexadecimal digits")]
#[case("'a%b' == ''", 2..3, "subst.bad-percent", "begins no variable")]
#[case("results.exitcod == 0", 8..15, "cond.unknown-name", "did you mean `exitcode`?")]
#[case("result.exitcode == 0", 0..6, "cond.unknown-name", "did you mean `results`?")]
#[case("exitcode == 0", 0..8, "cond.unknown-name", "write `results.exitcode`")]
#[case("results.cmdoutput.finds('a') > 0", 18..23, "cond.unknown-name", "did you mean `find`?")]
#[case("__import__('os').system('x')", 0..10, "cond.unknown-name", "there is no name")]
#[case("re.compile('x')", 3..10, "cond.unknown-name", "function of `re`")]
#[case("results.tree.find('x')", 13..17, "cond.unknown-name", "xpath")]
#[case("results.exitcode", 0..16, "cond.syntax", "has to be true or false, it is a number")]
#[case("'a' or true", 0..3, "cond.syntax", "it is a string")]
#[case("results.exitcode == '0'", 0..23, "cond.syntax", "cannot compare a number and a string")]
#[case("null < 1", 0..8, "cond.syntax", "cannot compare nothing and a number")]
#[case("1 + 'a' == 2", 0..7, "cond.syntax", "`int(...)`")]
#[case("'b' - 'a' == 2", 0..9, "cond.syntax", "`-` cannot be done")]
#[case("-'a' == 2", 1..4, "cond.syntax", "`-` cannot be done with a string")]
#[case("results.errno.lower() == 'a'", 0..13, "cond.syntax", "a method of strings")]
#[case("'a'.find() == 1", 8..10, "cond.syntax", "takes 1 arguments, here are 0")]
#[case("len(1) == 1", 4..5, "cond.syntax", "`len` cannot take a number")]
#[case("re.search('(', 'a')", 10..13, "expect.bad-regex", "bad regular expression")]
#[case("'a' =~ '['", 7..10, "expect.bad-regex", "bad regular expression")]
#[case("xpath('a/b')", 6..11, "cond.syntax", "begins with `/`")]
#[case("xpath('/a/@b/c')", 6..15, "cond.syntax", "end a path")]
#[case("xpath('/a[0]')", 6..13, "cond.syntax", "a number from 1")]
#[case("xpath('//a')", 6..11, "cond.syntax", "is no name")]
#[case("xpath('/a = b')", 6..14, "cond.syntax", "one text in quotes")]
#[case("xpath('/%(port)s')", 6..17, "cond.syntax", "in the literal of a path only")]
#[case("99999999999999999999 == 1", 0..20, "cond.syntax", "too large")]
#[case("1e999 == 1", 0..5, "cond.syntax", "too large")]
#[case("1; 2", 1..2, "cond.syntax", "means nothing here")]
fn says_where_and_what_is_wrong(
    #[case] text: &str,
    #[case] span: std::ops::Range<usize>,
    #[case] code: &str,
    #[case] words: &str,
) {
    let error = Condition::parse(text, Dialect::Current).expect_err(text);
    assert_eq!((error.span.clone(), error.code), (span, code), "{text}: {error}");
    assert!(error.to_string().contains(words), "{text}: {error}");
}

#[rstest::rstest]
#[case("vars.nobody == ''", "there is no variable `nobody`")]
#[case("'%(nobody)s' == ''", "there is no variable `nobody`")]
#[case("results.reason.lower() == ''", "it needs a string, not nothing")]
#[case("int(%(port)s) == 1", "\"et1\" is no whole number")]
#[case("results.reason > 'a'", "nothing and a string cannot be compared")]
#[case("results.cmdoutput =~ '%(bad)s'", "bad regular expression")]
#[case("9223372036854775807 + 1 > 0", "too large")]
fn errors_of_values_are_no_answers(#[case] text: &str, #[case] words: &str) {
    let error = evaluated(text, Dialect::Current).expect_err(text);
    assert!(error.contains(words), "{text}: {error}");
}

#[test]
fn ordering_nothing_is_an_error() {
    let condition = Condition::parse("results.exitcode < 1", Dialect::Current).expect("it is one");
    let results = Results::default();
    let error = condition.holds(&Facts { results: &results, values: &vars() }).expect_err("there is none");
    assert!(error.to_string().contains("nothing and a number cannot be compared"), "{error}");
}

#[test]
fn a_report_shows_what_was_compared() {
    let text = "results.exitcode == 1 and '%(port)s' in results.stdout and vars.port == %(port)s";
    let condition = Condition::parse(text, Dialect::Current).expect("it is one");
    let results = results();
    let operands = condition.operands(&Facts { results: &results, values: &vars() });
    let shown: Vec<_> = operands.iter().map(|(name, value)| format!("{name} is {value}")).collect();
    assert_eq!(
        shown,
        [
            "results.exitcode is 0",
            "results.stdout is \"é out\"",
            "vars.port is \"et1\"",
            "%(port)s is \"et1\""
        ]
    );
    assert_eq!(condition.keys(), ["port", "port", "port"]);
}

#[test]
fn hostile_nesting_is_refused() {
    for text in [
        "(".repeat(4000),
        "not ".repeat(2000),
        "-".repeat(4000),
        format!("{}1 == 1", "1 + ".repeat(1000)),
        format!("'a'{} == ''", ".strip()".repeat(900)),
        format!("true{}", " or true".repeat(900)),
        "x".repeat(10_000),
    ] {
        assert!(Condition::parse(&text, Dialect::Legacy).is_err(), "{text}");
    }
}

/// Texts of strings, numbers and conditions.
fn grammar() -> impl Strategy<Value = String> {
    let text = prop_oneof![
        "'[a%é ]{0,3}'".prop_map(|text| text.replace('%', "%%")),
        Just("\"\\n\\\\ %(port)s '%%'\"".to_owned()),
        Just("%(port)s".to_owned()),
        Just("vars.one".to_owned()),
        Just("results.cmdoutput".to_owned()),
    ];
    let text = text.prop_recursive(3, 8, 2, |text| {
        prop_oneof![
            (text.clone(), text.clone()).prop_map(|(a, b)| format!("({a} + {b})")),
            text.prop_map(|a| format!("{a}.lower().strip()")),
        ]
    });
    let number = prop_oneof![
        (0_i64..).prop_map(|number| number.to_string()),
        (0.0_f64..1e300).prop_map(|number| format!("{number:?}")),
        Just("results.errno".to_owned()),
        text.clone().prop_map(|text| format!("len({text})")),
        (text.clone(), text.clone()).prop_map(|(a, b)| format!("{a}.find({b})")),
    ];
    let number = number.prop_recursive(3, 8, 2, |number| {
        prop_oneof![
            (number.clone(), number.clone()).prop_map(|(a, b)| format!("{a} - {b}")),
            (number.clone(), number.clone()).prop_map(|(a, b)| format!("{a} + ({b})")),
            number.prop_map(|a| format!("-({a})")),
        ]
    });
    let whole = prop_oneof![
        Just("true".to_owned()),
        (text.clone(), text.clone()).prop_map(|(a, b)| format!("{a} not in {b}")),
        (text.clone(), text.clone()).prop_map(|(a, b)| format!("re.match({a}, {b})")),
        (number.clone(), number).prop_map(|(a, b)| format!("{a} <= {b}")),
        Just("xpath(\"/a[1]/@b = '%(port)s'\") == true".to_owned()),
        text.prop_map(|a| format!("{a}.startswith('a')")),
    ];
    whole.prop_recursive(4, 16, 2, |whole| {
        prop_oneof![
            (whole.clone(), whole.clone()).prop_map(|(a, b)| format!("{a} and {b}")),
            (whole.clone(), whole.clone()).prop_map(|(a, b)| format!("({a} or {b})")),
            (whole.clone(), whole.clone()).prop_map(|(a, b)| format!("({a}) != ({b})")),
            whole.prop_map(|a| format!("not {a}")),
        ]
    })
}

/// Whatever is a condition is the same when it is printed and read again; returns whether it is one.
fn survives(text: &str, dialect: Dialect) -> bool {
    let Ok(condition) = Condition::parse(text, dialect) else { return false };
    let printed = condition.to_string();
    assert_eq!(Condition::parse(&printed, dialect).as_ref(), Ok(&condition), "{text} printed as {printed}");
    let results = results();
    let _ = condition.holds(&Facts { results: &results, values: &vars() });
    true
}

proptest! {
    #[test]
    fn printing_and_reading_is_the_same(text in grammar()) {
        // All that is made is read, unless it became too deep or a regular expression that is none.
        let error = Condition::parse(&text, Dialect::Current).err();
        let excuses = ["deeper", "regular"];
        let excused = error.is_none_or(|error| excuses.iter().any(|excuse| error.message.contains(excuse)));
        prop_assert!(survives(&text, Dialect::Current) || excused, "{}", text);
    }

    #[test]
    fn no_text_makes_it_panic(text in "\\PC{0,40}", legacy in any::<bool>()) {
        survives(&text, if legacy { Dialect::Legacy } else { Dialect::Current });
    }

    #[test]
    fn no_tokens_make_it_panic(
        words in prop::collection::vec(prop::sample::select(vec![
            "results.", "exitcode", "cmdoutput", ".find(", "'a'", "%(port)s", "(", ")", "not ", " in ", " and ", "==",
            "-", "1", "1.5", "re.search(", ",", "xpath('/a')", "\\", "'", "\"", "%", "int(", "vars.", "null", "é",
        ]), 0..12),
    ) {
        let text = words.concat();
        survives(&text, Dialect::Legacy);
        if let Err(error) = Condition::parse(&text, Dialect::Current) {
            prop_assert!(text.get(error.span.clone()).is_some(), "{} has no {:?}", text, error.span);
        }
    }
}

#[test]
fn every_name_is_documented() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/changes.md")).unwrap();
    let methods = Function::METHODS.iter().map(|(name, ..)| format!("`.{name}("));
    let fields = Field::ALL.iter().map(|(name, _)| format!("`{name}`"));
    let signs = Op::COMPARING.iter().map(|(sign, _)| format!("`{sign}`"));
    let missing: Vec<_> =
        methods.chain(fields).chain(signs).filter(|name| !page.contains(name.as_str())).collect();
    assert!(missing.is_empty(), "docs/changes.md says nothing of {missing:?}");
}
