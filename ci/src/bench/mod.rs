//! `cargo ci bench NAME [--json]`: the one form of every benchmark. Ours and the plain tool run in turn (A B A B), each
//! pair gives a ratio, and the ratios are what is reported. Goals are shown, never asserted: machines differ.

use std::{
    fmt::Write as _,
    process::{Command, ExitCode, Stdio},
};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use self::{
    growth::{Growth, growth},
    machine::Machine,
    stats::{Summary, ratios, summary},
    table::{BENCHMARKS, Benchmark},
};
use crate::{
    command::{self, Refused, cargo},
    phases::seconds,
    workspace,
};

mod growth;
mod machine;
mod stats;
mod table;

/// Arguments of the verb.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The benchmark; without one, the list.
    name: Option<String>,
    /// Prints the result as JSON; what happens meanwhile goes to standard error.
    #[arg(long)]
    json: bool,
}

/// A line printed by a measured program.
#[derive(Debug, Clone, PartialEq, Deserialize)]
struct Figure {
    /// What was measured.
    name: String,
    /// Whose it is.
    side: Side,
    /// How long it took.
    seconds: f64,
}

/// What was measured and is compared with nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Fact {
    /// What.
    name: String,
    /// How much.
    value: f64,
    /// Of what.
    unit: String,
}

/// What measured programs print.
#[derive(Debug, Default, PartialEq)]
struct Printed {
    figures: Vec<Figure>,
    facts: Vec<Fact>,
}

/// Whose figure it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Side {
    Ours,
    Plain,
}

/// What was found out.
#[derive(Debug, Serialize)]
struct Report {
    benchmark: &'static str,
    what: &'static str,
    machine: Machine,
    rows: Vec<Row>,
    /// What is compared with nothing.
    facts: Vec<Fact>,
    /// How the ratios change with the number of machines.
    growth: Vec<Growth>,
}

/// One thing measured.
#[derive(Debug, PartialEq, Serialize)]
struct Row {
    name: String,
    /// Ours is to take at most this many times the plain tool's time.
    goal: f64,
    ours_seconds: Vec<f64>,
    plain_seconds: Vec<f64>,
    ratios: Vec<f64>,
    ours: Summary,
    plain: Summary,
    ratio: Summary,
}

/// The verb.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let Some(name) = &args.name else {
        for benchmark in BENCHMARKS {
            println!("{:8} {}", benchmark.name, benchmark.what);
        }
        return Ok(ExitCode::SUCCESS);
    };
    let Some(benchmark) = BENCHMARKS.iter().find(|benchmark| benchmark.name == name) else {
        let names: Vec<_> = BENCHMARKS.iter().map(|benchmark| benchmark.name).collect();
        return Err(Refused(format!("no benchmark `{name}`; there are: {}", names.join(", "))).into());
    };
    let mut build = cargo(&["build", "--quiet", "--package", table::PACKAGE, "--examples"]);
    if benchmark.is_optimised {
        build.arg("--release");
    }
    command::output(build.current_dir(workspace::root()))?;
    let Printed { figures, facts } = measure(benchmark)?;
    let rows = rows(benchmark, &figures)?;
    let report = Report {
        benchmark: benchmark.name,
        what: benchmark.what,
        machine: Machine::this(),
        growth: growth(&rows),
        rows,
        facts,
    };
    if args.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print!("{}", text(&report)?);
    }
    Ok(ExitCode::SUCCESS)
}

/// All that was measured, in order.
fn measure(benchmark: &Benchmark) -> Result<Printed> {
    let profile = if benchmark.is_optimised { "release" } else { "debug" };
    let program = workspace::metadata()?.target_directory.join(profile).join("examples").join(table::PROGRAM);
    let mut all = Printed::default();
    for run in 1..=benchmark.runs {
        eprintln!("{}: run {run} of {}", benchmark.name, benchmark.runs);
        let mut command = Command::new(&program);
        command.arg(benchmark.name).current_dir(workspace::root()).stderr(Stdio::inherit());
        let shown = command::shown(&command);
        let output = command.output().with_context(|| format!("could not start `{shown}`"))?;
        if !output.status.success() {
            bail!("`{shown}` ended with {}", output.status);
        }
        let printed = String::from_utf8_lossy(&output.stdout);
        let more = printed_by(&printed).with_context(|| format!("what `{shown}` printed"))?;
        all.figures.extend(more.figures);
        all.facts.extend(more.facts);
    }
    Ok(all)
}

/// What a program measured, among what it printed; other lines are its own business.
fn printed_by(printed: &str) -> Result<Printed> {
    let (mut figures, mut facts) = (vec![], vec![]);
    for line in printed.lines().filter(|line| line.starts_with('{')) {
        if let Ok(fact) = serde_json::from_str::<Fact>(line) {
            facts.push(fact);
            continue;
        }
        let figure: Figure = serde_json::from_str(line).with_context(|| format!("not a figure: {line}"))?;
        if !(figure.seconds.is_finite() && figure.seconds > 0.0) {
            bail!("not a duration: {line}");
        }
        figures.push(figure);
    }
    if figures.is_empty() {
        bail!("no figure among {} lines", printed.lines().count());
    }
    Ok(Printed { figures, facts })
}

/// Pairs the figures of one name in the order they came.
fn rows(benchmark: &Benchmark, figures: &[Figure]) -> Result<Vec<Row>> {
    let mut names: Vec<&str> = vec![];
    for figure in figures {
        if !names.contains(&figure.name.as_str()) {
            names.push(&figure.name);
        }
    }
    let row = |name: &str| {
        let of = |wanted: Side| -> Vec<f64> {
            figures.iter().filter(|f| f.side == wanted && f.name == name).map(|f| f.seconds).collect()
        };
        let (ours, plain) = (of(Side::Ours), of(Side::Plain));
        if ours.len() != plain.len() {
            bail!(
                "`{name}` was measured {} times with ours and {} times with the plain tool",
                ours.len(),
                plain.len()
            );
        }
        let ratios = ratios(&ours, &plain);
        let none = || format!("`{name}` was not measured");
        let other = benchmark.other_goals.iter().find(|(end, _)| name.ends_with(end));
        Ok(Row {
            name: name.to_owned(),
            goal: other.map_or(benchmark.goal, |(_, goal)| *goal),
            ours: summary(&ours).with_context(none)?,
            plain: summary(&plain).with_context(none)?,
            ratio: summary(&ratios).with_context(none)?,
            ours_seconds: ours,
            plain_seconds: plain,
            ratios,
        })
    };
    names.into_iter().map(row).collect()
}

/// The report for people.
fn text(report: &Report) -> Result<String> {
    let mut out = String::new();
    writeln!(out, "{}: {}", report.benchmark, report.what)?;
    writeln!(out, "{}", report.machine)?;
    for row in &report.rows {
        let reached = if row.ratio.median <= row.goal { "reached" } else { "not reached" };
        let pairs: Vec<_> = row.ratios.iter().map(|ratio| format!("{ratio:.2}")).collect();
        writeln!(out, "\n{}", row.name)?;
        writeln!(out, "  ours   {}", spread(&row.ours))?;
        writeln!(out, "  plain  {}", spread(&row.plain))?;
        let Summary { median, min, max } = row.ratio;
        writeln!(out, "  ratio  {median:.2} ({min:.2} to {max:.2}), pair by pair: {}", pairs.join(" "))?;
        writeln!(out, "  goal   at most {:.2}: {reached}", row.goal)?;
    }
    for (n, Fact { name, value, unit }) in report.facts.iter().enumerate() {
        writeln!(out, "{}{name}: {value:.1} {unit}", if n == 0 { "\n" } else { "" })?;
    }
    for Growth { step, from, to, times } in &report.growth {
        writeln!(out, "\n{step}: the ratio at {to} is {times:.2} times that at {from}")?;
    }
    Ok(out)
}

fn spread(summary: &Summary) -> String {
    let short = |value: f64| {
        if value < 1.0 {
            format!("{:.1} ms", value * 1000.0)
        } else {
            seconds(std::time::Duration::from_secs_f64(value))
        }
    };
    format!("{} ({} to {})", short(summary.median), short(summary.min), short(summary.max))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ours(name: &str, seconds: f64) -> Figure {
        Figure { name: name.to_owned(), side: Side::Ours, seconds }
    }

    fn plain(name: &str, seconds: f64) -> Figure {
        Figure { name: name.to_owned(), side: Side::Plain, seconds }
    }

    fn memory() -> Fact {
        Fact { name: "memory".to_owned(), value: 12.5, unit: "MiB".to_owned() }
    }

    pub(super) const SOME: Benchmark = Benchmark {
        name: "up",
        what: "what",
        goal: 1.15,
        other_goals: &[("b", 0.2)],
        is_optimised: false,
        runs: 1,
    };

    #[test]
    fn figures_are_read_and_bad_ones_named() {
        let printed = r#"booting
{"name":"memory","value":12.5,"unit":"MiB"}
{"name":"1 guest","side":"ours","seconds":7.5}
{"name":"1 guest","side":"plain","seconds":1}
"#;
        let read = printed_by(printed).unwrap();
        assert_eq!(read.figures, [ours("1 guest", 7.5), plain("1 guest", 1.0)]);
        assert_eq!(read.facts, [memory()]);
        for (bad, fragment) in [
            ("nothing", "no figure"),
            (r#"{"name":"x","seconds":1}"#, "not a figure"),
            (r#"{"name":"x","side":"ours","seconds":0}"#, "not a duration"),
            (r#"{"name":"x","side":"ours","seconds":-1}"#, "not a duration"),
            (r#"{"name":"x","side":"theirs","seconds":1}"#, "not a figure"),
        ] {
            let error = format!("{:#}", printed_by(bad).unwrap_err());
            assert!(error.contains(fragment), "{bad}: {error}");
        }
    }

    #[test]
    fn figures_are_paired_by_name_and_turn() {
        let taken = [
            ours("a", 2.0),
            ours("b", 1.0),
            plain("a", 1.0),
            plain("b", 4.0),
            ours("a", 3.0),
            plain("a", 2.0),
        ];
        let rows = rows(&SOME, &taken).unwrap();
        assert_eq!(rows.iter().map(|row| row.goal).collect::<Vec<_>>(), [1.15, 0.2]);
        assert_eq!(rows.iter().map(|row| row.name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!((rows[0].ratios.as_slice(), rows[1].ratios.as_slice()), (&[2.0, 1.5][..], &[0.25][..]));
        assert_eq!(rows[0].ratio, Summary { median: 1.75, min: 1.5, max: 2.0 });
    }

    #[test]
    fn a_figure_without_its_counterpart_is_an_error() {
        let error = rows(&SOME, &[ours("a", 1.0)]).unwrap_err().to_string();
        assert_eq!(error, "`a` was measured 1 times with ours and 0 times with the plain tool");
    }

    #[test]
    fn people_read_this() {
        let pair = |a, b| [ours("1 guest", a), plain("1 guest", b)];
        let figures: Vec<_> = [pair(8.0, 8.0), pair(9.0, 7.5), pair(0.5, 1.0)].concat();
        let machine = Machine {
            cpu: "Some CPU".to_owned(),
            cores: 2,
            memory_mib: 24_000,
            kernel: "6.1".to_owned(),
            qemu: "7.2.22".to_owned(),
            libvirt: "9.0.0".to_owned(),
        };
        let rows = rows(&SOME, &figures).unwrap();
        let growth =
            vec![Growth { step: "up".to_owned(), from: "1".to_owned(), to: "8".to_owned(), times: 1.04 }];
        let report = Report { benchmark: "up", what: "what", machine, rows, facts: vec![memory()], growth };
        let expected = "up: what
Some CPU, 2 cores, 24000 MiB, Linux 6.1, QEMU 7.2.22, libvirt 9.0.0

1 guest
  ours   8.0 s (500.0 ms to 9.0 s)
  plain  7.5 s (1.0 s to 8.0 s)
  ratio  1.00 (0.50 to 1.20), pair by pair: 1.00 1.20 0.50
  goal   at most 1.15: reached

memory: 12.5 MiB

up: the ratio at 8 is 1.04 times that at 1
";
        assert_eq!(text(&report).unwrap(), expected);
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["rows"][0]["ratio"]["median"], 1.0);
        assert_eq!(json["machine"]["cores"], 2);
    }

    #[test]
    fn an_unknown_benchmark_is_refused_with_the_list() {
        let error = run(&Args { name: Some("upp".to_owned()), json: false }).unwrap_err();
        assert!(error.is::<Refused>() && error.to_string().contains("there are: up"), "{error}");
    }
}
