//! `cargo ci soak`: the campaigns of which `cargo ci test` runs samples, whole. The tests are the same; rounds and seed
//! reach them through the environment.

use std::{
    process::ExitCode,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Result, bail};

use crate::{
    command::{self, Refused, cargo},
    gate,
    phases::{Phases, Tally, closing},
    setup::{
        self,
        packages::{LIBGUESTFS, Package},
    },
    workspace,
};

/// Read by the tests.
const SEED: &str = "POLDER_SOAK_SEED";
/// Read by the tests.
const ROUNDS: &str = "POLDER_SOAK_ROUNDS";

/// For one campaign.
const LIMIT: Duration = Duration::from_secs(4 * 60 * 60);

/// What one campaign runs.
struct Campaign {
    name: &'static str,
    what: &'static str,
    package: &'static str,
    target: &'static str,
    test: &'static str,
    rounds: u64,
    /// What it needs that `cargo ci setup` does not install.
    packages: &'static [Package],
}

const CAMPAIGNS: &[Campaign] = &[
    Campaign {
        name: "lab-kills",
        what: "SIGKILL over the processes of a lab leaves nothing",
        package: "polder",
        target: "it",
        test: "kills::labs_leave_nothing_whoever_is_killed",
        rounds: 1000,
        packages: &[],
    },
    Campaign {
        name: "suite-kills",
        what: "SIGKILL at any moment of a suite's life leaves nothing",
        package: "polder",
        target: "it",
        test: "lives::nothing_outlives_a_killed_suite",
        rounds: 200,
        packages: &[],
    },
    Campaign {
        name: "damage-own",
        what: "every kind of damage to a prefix with a lab of its own, then destroy",
        package: "polder",
        target: "it",
        test: "damage::whatever_happens_to_a_prefix_in_a_lab_of_its_own_it_can_be_destroyed",
        rounds: 100,
        packages: &[],
    },
    Campaign {
        name: "damage-shared",
        what: "every kind of damage to a prefix on a daemon, then destroy",
        package: "polder",
        target: "it",
        test: "damage::whatever_happens_to_a_prefix_on_a_daemon_it_can_be_destroyed",
        rounds: 100,
        packages: &[],
    },
    Campaign {
        name: "daemon-kills",
        what: "SIGKILL at any moment of an environment's life on a daemon leaves nothing that destroy does not find",
        package: "polder",
        target: "it",
        test: "system::what_killed_commands_leave_on_a_daemon_can_be_destroyed",
        rounds: 40,
        packages: &[],
    },
    Campaign {
        name: "guests",
        what: "64 commands at once on each of 17 machines, one of them full, out of time and paused before; nothing lost, memory bounded",
        package: "polder",
        target: "it",
        test: "guests::many_guests_answer_many_commands",
        rounds: 10,
        packages: &[],
    },
    Campaign {
        name: "restores",
        what: "machines go on from the same checkpoint again and again; disks, network, clocks and chance are right each time",
        package: "polder",
        target: "it",
        test: "checkpoints::machines_go_on_where_earlier_ones_were_kept",
        rounds: 200,
        packages: &[],
    },
    Campaign {
        name: "checkpoint-kills",
        what: "SIGKILL while states are kept or gone on from leaves nothing, and nothing half",
        package: "polder",
        target: "it",
        test: "checkpoints::whoever_keeps_or_goes_on_is_killed_leaves_nothing",
        rounds: 100,
        packages: &[],
    },
    Campaign {
        name: "portal-kills",
        what: "SIGKILL while a portal is kept with its machines, or before or after; the next run is right wherever it begins",
        package: "polder",
        target: "it",
        test: "kept_portals::whoever_keeps_a_portal_is_killed_leaves_nothing",
        rounds: 100,
        packages: &[],
    },
    Campaign {
        name: "everywhere-debian12",
        what: "every function of guests on the image `debian12`",
        package: "polder",
        target: "it",
        test: "everywhere::every_function_on_debian12",
        rounds: 1,
        packages: &[],
    },
    Campaign {
        name: "everywhere-foreign",
        what: "every function of guests on somebody else's image with cloud-init",
        package: "polder",
        target: "it",
        test: "everywhere::every_function_on_somebody_elses_image",
        rounds: 1,
        packages: &[],
    },
    Campaign {
        name: "repo-kills",
        what: "SIGKILL at any moment of a repository's build leaves the old one or the new one",
        package: "polder",
        target: "it",
        test: "repositories::a_killed_build_leaves_the_old_repository_or_the_new_one",
        rounds: 300,
        packages: &[],
    },
    Campaign {
        name: "cut-short",
        what: "SIGKILL at any moment of a copy, a script, a job, a synced tree or a prepared disk leaves nothing half",
        package: "polder",
        target: "it",
        test: "cut_short::what_a_killed_command_was_at_is_never_taken_for_whole",
        rounds: 60,
        packages: &[],
    },
    Campaign {
        name: "cvp",
        what: "SIGKILL at any moment of a session at a portal, then gc: the portal is as it was",
        package: "polder",
        target: "it",
        test: "portals::sessions_that_were_killed_anywhere_are_set_back",
        rounds: 30,
        packages: &[],
    },
    Campaign {
        name: "libguestfs",
        what: "the real programs of libguestfs prepare disks that we cannot write, and read those that we cannot read",
        package: "polder",
        target: "it",
        test: "guestfs::disks_we_cannot_read_are_prepared_and_collected_from",
        rounds: 1,
        packages: LIBGUESTFS,
    },
];

/// Arguments of the verb.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// One campaign; all of them when absent.
    name: Option<String>,
    /// Repeats an earlier campaign; from the clock when absent.
    #[arg(long)]
    seed: Option<u64>,
}

/// The verb.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let chosen: Vec<_> =
        CAMPAIGNS.iter().filter(|c| args.name.as_deref().is_none_or(|name| name == c.name)).collect();
    if chosen.is_empty() {
        let names: Vec<_> = CAMPAIGNS.iter().map(|campaign| campaign.name).collect();
        let asked = args.name.as_deref().unwrap_or_default();
        return Err(Refused(format!("no campaign `{asked}`; there are: {}", names.join(", "))).into());
    }
    let clock = SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |t| t.as_secs());
    let seed = args.seed.unwrap_or(clock);
    let mut phases = Phases::new(vec![]);
    for campaign in chosen {
        phases.run(campaign.name, |tally| once(campaign, seed, tally));
    }
    Ok(phases.finish())
}

fn once(campaign: &Campaign, seed: u64, tally: &mut Tally) -> Result<()> {
    println!("{}: {} rounds, seed {seed}", campaign.what, campaign.rounds);
    setup::also(campaign.packages)?;
    let mut test = cargo(&["test", "--package", campaign.package, "--test", campaign.target, "--"]);
    test.args([campaign.test, "--exact", "--include-ignored", "--nocapture"]).current_dir(workspace::root());
    test.env(SEED, seed.to_string()).env(ROUNDS, campaign.rounds.to_string());
    let mut ran = 0;
    let result = gate::tests_passed(&mut test, LIMIT, |line| {
        println!("{line}");
        ran += closing(line).map_or(0, |(own, _)| own.passed + own.failed);
    });
    tally.passed += u64::from(result.is_ok() && ran > 0);
    result?;
    if ran == 0 {
        bail!("`{}` ran no test: it was renamed or removed", command::shown(&test));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_campaign_is_refused_with_the_list() {
        let error = run(&Args { name: Some("lab-kisses".to_owned()), seed: None }).unwrap_err();
        assert!(error.is::<Refused>() && error.to_string().contains("lab-kills"), "{error}");
    }
}
