//! From arguments to an exit code: parses, configures, calls the verb, prints its result or the error chain.
#![expect(clippy::print_stdout, reason = "a command prints")]

use std::{
    io::{self, IsTerminal, Write},
    process::ExitCode,
};

use clap::{CommandFactory, FromArgMatches, parser::ValueSource};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
};
use tracing::Level;

use super::{
    args::Args,
    cmd,
    context::Cx,
    exit::{BadInput, exit_of},
    extensions::Extensions,
    flags,
    log::{self, Log},
};
use crate::{
    base::exit::Exit,
    config::{Config, ConfigError, Lab, Sources},
    env::EnvError,
    initfile::InitFileError,
    provider::libvirt::{CLOSING, wait_closed},
};

/// What a verb comes to: a text for standard output, and an exit code.
#[derive(Debug)]
pub(super) struct Said {
    text: String,
    code: u8,
}

impl From<String> for Said {
    fn from(text: String) -> Self {
        Self { text, code: Exit::Done as u8 }
    }
}
impl From<()> for Said {
    fn from((): ()) -> Self {
        String::new().into()
    }
}
impl Said {
    /// Nothing but this code.
    pub(super) fn code(code: u8) -> Self {
        Self { text: String::new(), code }
    }
    /// Says it with the code of something that was run.
    pub(super) fn with_code(self, code: u8) -> Self {
        Self { code, ..self }
    }
    /// Says it with that code.
    pub(super) fn with(self, exit: Exit) -> Self {
        Self { code: exit as u8, ..self }
    }
}

/// The whole of the command.
pub(super) fn main(extensions: Extensions) -> ExitCode {
    let settings = Sources::of_process(Some(flags::keys(&Args::command()))).load();
    let matches = flags::with_defaults(Args::command(), &settings).try_get_matches();
    let parsed = matches.and_then(|matches| Ok((Args::from_arg_matches(&matches)?, matches)));
    let (args, matches) = match parsed {
        Ok(parsed) => parsed,
        Err(error) => {
            if let Some(problem) = flags::culprit(&error, &settings) {
                eprintln!("error: {}", ConfigError(vec![problem]));
                return Exit::Usage.into();
            }
            let _ = error.print();
            return if error.use_stderr() { Exit::Usage.into() } else { Exit::Done.into() };
        }
    };
    let result =
        Config::new(settings, flags::entries(&matches)).map_err(anyhow::Error::from).and_then(|config| {
            refuse_libvirt_options(&config, &matches)?;
            let level = match config.loglevel.as_str() {
                "debug" => Level::DEBUG,
                "warning" => Level::WARN,
                "error" => Level::ERROR,
                _ => Level::INFO,
            };
            let log = Log::install(level, config.logdepth, args.global.quiet);
            let ignore_warnings = args.global.ignore_warnings;
            let cwd = std::env::current_dir()?;
            let (sender, stop) = watch::channel(false);
            let cx = Cx { config, extensions, cwd, log: log.clone(), ignore_warnings, stop };
            cx.format()?;
            cx.config.settings.warnings.iter().for_each(|warning| cx.warn(warning));
            let runtime = tokio::runtime::Runtime::new()?;
            // Before anything is done, so that none arrives too early to be heeded.
            let signals = {
                let _inside = runtime.enter();
                [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()].map(signal)
            };
            runtime.spawn(watch_signals(sender, signals));
            let result = runtime.block_on(cmd::run(&cx, args.verb));
            // A blocked libvirt call must not hold up the end.
            runtime.shutdown_background();
            wait_closed(CLOSING);
            result.inspect_err(|error| tracing::debug!(target: "polder", "failed: {error:?}")).map_err(
                |error| match log.path() {
                    Some(path) => error.context(LogAt(path)),
                    None => error,
                },
            )
        });
    match result {
        Ok(said) => {
            if !said.text.is_empty() {
                println!("{}", said.text);
            }
            // A reader that went away is no failure of ours.
            let _ = io::stdout().flush();
            ExitCode::from(said.code)
        }
        Err(error) => {
            let colour = log::colour(&io::stderr());
            let (on, off) = if colour { ("\x1b[31m", "\x1b[0m") } else { ("", "") };
            let exit = exit_of(&error);
            eprintln!("{on}error:{off} {}", print(&error, colour));
            if let Some(LogAt(path)) = error.downcast_ref().filter(|_| exit != Exit::Usage) {
                eprintln!("all of it is in {}", path.display());
            }
            exit.into()
        }
    }
}

/// Where more is written about an error; carried beside it.
#[derive(Debug)]
struct LogAt(std::path::PathBuf);

impl std::fmt::Display for LogAt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "see {}", self.0.display())
    }
}

/// Sets the flag on the first signal that asks us to stop; on the second one, ends the process at once.
async fn watch_signals(stop: watch::Sender<bool>, signals: [io::Result<Signal>; 3]) -> io::Result<()> {
    let [interrupt, terminate, hangup] = signals;
    let (mut interrupt, mut terminate, mut hangup) = (interrupt?, terminate?, hangup?);
    loop {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
        if stop.send_replace(true) {
            let _ = writeln!(io::stderr(), "stopped at once; `polder status` shows what is left");
            std::process::exit(Exit::Stopped as i32);
        }
        // A terminal that has hung up is one reason to stop.
        let _ = writeln!(io::stderr(), "stopping; once more to stop at once");
    }
}

/// The daemon of system labs, and who one is to it, are configured with the rest of the host: what every user of the
/// host can read in the list of processes is no place for that.
fn refuse_libvirt_options(config: &Config, matches: &clap::ArgMatches) -> Result<(), BadInput> {
    let levels = std::iter::successors(Some(matches), |level| level.subcommand().map(|(_, below)| below));
    let keys = [
        ("libvirt_url", "libvirt_url"),
        ("libvirt_user", "libvirt_username"),
        ("libvirt_password", "libvirt_password"),
    ];
    let typed = |level: &clap::ArgMatches, id: &str| {
        level.try_contains_id(id).is_ok() && level.value_source(id) == Some(ValueSource::CommandLine)
    };
    for level in levels {
        if let Some((id, key)) = keys.iter().find(|(id, _)| typed(level, id)) {
            let lab = match config.lab {
                Lab::Hermetic => {
                    "; it counts with `lab = \"system\"` only, and environments are in hermetic labs"
                }
                Lab::System => "",
            };
            let option = id.replace('_', "-");
            return Err(BadInput(format!(
                "--{option} is not taken from the command line; configure `{key}` (POLDER_{}){lab}",
                key.to_uppercase()
            )));
        }
    }
    Ok(())
}

/// The error and its causes; an init file's problems with the lines they are on.
fn print(error: &anyhow::Error, colour: bool) -> String {
    let init_file = error.chain().find_map(|cause| {
        let problems = match cause.downcast_ref() {
            Some(EnvError::InitFile(problems)) => Some(problems),
            _ => cause.downcast_ref(),
        };
        problems.filter(|problems| matches!(problems, InitFileError::Invalid(_)))
    });
    match init_file {
        Some(problems) => problems.render(colour && io::stderr().is_terminal()),
        None => {
            let causes = error.chain().skip(usize::from(error.is::<LogAt>()));
            causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
        }
    }
}
