//! The keys of files of changes: what each mapping may and has to say.

use super::model::DriverKind;
use crate::initfile::{Key, Kind, Mapping};

const VARS: Key = Key::new("vars", Kind::Map(&Kind::Text), "Variables.");
const NAMES: Kind = Kind::Each(&Kind::Text);
const AFTER: Key = Key::new("after", NAMES, "What has to be done before.");
const BEFORE: Key = Key::new("before", NAMES, "What has to be done after.");
const POLICY_KEY: Key = Key::new("policy", Kind::Object(&POLICY), "What happens when something fails.");
const SCRIPT_KIND: Kind = Kind::Object(&SCRIPT);
const VERIFY: Key = Key::new("verify", SCRIPT_KIND, "What tells that it worked.");
static EXCHANGE_KIND: Kind = Kind::Object(&EXCHANGE);
static ROLLBACK_KIND: Kind = Kind::Object(&ROLLBACK);
static TARGET_KINDS: [Kind; 3] = [Kind::Text, NAMES, Kind::Object(&REPLACED)];
const PAUSE: Key = Key::new("pause", Kind::Bool, "Whether the operator is asked before.");
const EXCHANGES: Key = Key::new("exchanges", Kind::Each(&EXCHANGE_KIND), "Commands, in order.");
const CHECKS: Key = Key::new("checks", CHECK_LIST, "What has to be true after them.");
const CHECK_KIND: Kind = Kind::Either(&[Kind::Text, Kind::Object(&CHECK)]);
const CHECK_LIST: Kind = Kind::Each(&CHECK_KIND);

const DRIVER_NAME: Key = Key::new("driver", Kind::Text, "What carries its commands.");
const MATRIX_NAME: Key = Key::new("matrix", Kind::Text, "What it is repeated over.");
const ITERATE: Key = Key::new("iterate", Kind::Word(&["cycle", "phase"]), "How it is repeated.");
const TARGETS: Key = Key::new(
    "targets",
    Kind::Either(&TARGET_KINDS),
    "`all`, or the devices; added to those of the template, unless they `replace` them.",
);
const PRECHECK: Key = Key::new("precheck", Kind::Object(&PRECHECK_SCRIPT), "Whether it may be done now.");
const APPLY: Key = Key::new("apply", SCRIPT_KIND, "The change itself.");
const PRE_ROLLBACK: Key = Key::new("pre_rollback", SCRIPT_KIND, "Whether it may be undone now.");
const ROLLBACK_KEY: Key =
    Key::new("rollback", Kind::Each(&ROLLBACK_KIND), "How it is undone; the first that fits.");
const VERIFY_ROLLBACK: Key = Key::new("verify_rollback", SCRIPT_KIND, "Whether undoing worked.");

/// The words for how files are meant.
pub(super) const DIALECTS: &[&str] = &["current", "legacy"];
const POLICIES: &[&str] = &["stop", "continue", "rollback_all"];

pub(super) static FILE: Mapping = Mapping {
    name: "changes",
    of: "a file of changes",
    keys: &[
        Key::new("version", Kind::Whole { min: 1, max: 1, unit: "" }, "The version of the form.").required(),
        Key::new("dialect", Kind::Word(DIALECTS), "Whether conditions are those of old files."),
        VARS,
        Key::new("secrets", NAMES, "Variables whose values are shown to nobody."),
        Key::new("devices", Kind::Map(&Kind::Open(&DEVICE)), "What is changed."),
        Key::new("drivers", Kind::Map(&Kind::Object(&DRIVER)), "What carries commands."),
        Key::new("matrices", Kind::Map(&Kind::Object(&MATRIX)), "What changes are repeated over."),
        Key::new("templates", Kind::Map(&Kind::Object(&TEMPLATE)), "What changes are made from."),
        Key::new("scenario", Kind::Any, "The changes.").required(),
    ],
};

static DEVICE: Mapping = Mapping { name: "device", of: "a device", keys: &[VARS] };

static DRIVER: Mapping = Mapping {
    name: "driver",
    of: "a driver",
    keys: &[
        Key::new("kind", Kind::Word(&DriverKind::NAMES), "How it works.").required(),
        Key::new("argv", NAMES, "The command line, argument by argument."),
        Key::new("connect_command", Kind::Text, "The command line, with quotes as in a shell."),
        Key::new("command_timeout", Kind::Text, "How long a command may take."),
        Key::new("user", Kind::Text, "Who logs in."),
        Key::new("password_env", Kind::Text, "The environment variable with the password."),
        Key::new(
            "token_env",
            Kind::Text,
            "The environment variable with a token, instead of user and password.",
        ),
        Key::new("port", Kind::Text, "The port of the ssh server."),
        Key::new("key_file", Kind::Text, "The file with the user's private key."),
        Key::new("known_hosts", Kind::Text, "The file with the keys of hosts, in OpenSSH's form."),
        Key::new("host_key", Kind::Text, "Which keys of hosts are good: `known`, `accept-new` or `any`."),
        Key::new(
            "terminal",
            Kind::Text,
            "Whether a shell in a terminal is talked to, instead of running commands.",
        ),
        Key::new("url", Kind::Text, "Where requests go, or where the portal is."),
        Key::new("method", Kind::Text, "The method of requests that do not say theirs."),
        Key::new("headers", Kind::Map(&Kind::Text), "What is sent with every request."),
        Key::new(
            "ca_file",
            Kind::Text,
            "The file with the certificates that are trusted, instead of this host's.",
        ),
        Key::new("insecure", Kind::Text, "Whether any certificate is good."),
        VARS,
    ],
};

static MATRIX: Mapping = Mapping {
    name: "matrix",
    of: "a matrix",
    keys: &[
        Key::new("rows", Kind::Each(&Kind::Map(&Kind::Text)), "The rows."),
        Key::new("csv", Kind::Text, "A file with the rows, the first line being their names."),
        Key::new(
            "machines",
            Kind::Either(&[Kind::Word(&["all"]), NAMES]),
            "Machines of the environment, a row for each: `all`, or their names.",
        ),
        Key::new("delay", Kind::Text, "How long is waited before each."),
    ],
};

/// What templates and steps have, and what only steps have.
macro_rules! change_keys {
    ($($more:expr),*) => {
        &[
            $($more,)* DRIVER_NAME, MATRIX_NAME, ITERATE, TARGETS, AFTER, BEFORE, VARS, POLICY_KEY, PRECHECK, APPLY,
            VERIFY, PRE_ROLLBACK, ROLLBACK_KEY, VERIFY_ROLLBACK,
        ]
    };
}

static TEMPLATE: Mapping = Mapping { name: "template", of: "a template", keys: change_keys!() };

pub(super) static STEP: Mapping = Mapping {
    name: "step",
    of: "a step",
    keys: change_keys!(
        Key::new("step", Kind::Text, "Its name.").required(),
        Key::new("template", Kind::Text, "What it is made from.")
    ),
};

const NODES: Key = Key::new("nodes", Kind::Each(&Kind::Any), "Its members: steps and scenarios.").required();
const UNORDERED: Key =
    Key::new("unordered", Kind::Bool, "Whether only prerequisites order its members, not their places.");

/// The outermost one.
pub(super) static ROOT: Mapping = Mapping {
    name: "root",
    of: "the scenario",
    keys: &[Key::new("name", Kind::Text, "Its name.").required(), POLICY_KEY, VARS, UNORDERED, NODES, VERIFY],
};

/// One in another.
pub(super) static SCENARIO: Mapping = Mapping {
    name: "scenario",
    of: "a scenario",
    keys: &[
        Key::new("scenario", Kind::Text, "Its name.").required(),
        AFTER,
        BEFORE,
        POLICY_KEY,
        VARS,
        UNORDERED,
        NODES,
        VERIFY,
    ],
};

static REPLACED: Mapping = Mapping {
    name: "replaced",
    of: "`targets`",
    keys: &[Key::new("replace", NAMES, "The devices, instead of those of the template.").required()],
};

static POLICY: Mapping = Mapping {
    name: "policy",
    of: "a policy",
    keys: &[
        Key::new("on_fail", Kind::Word(POLICIES), "What becomes of the others."),
        Key::new("retry", Kind::Object(&RETRY), "How often it is tried again."),
        Key::new(
            "devices",
            Kind::Either(&[Kind::Word(&["serial"]), Kind::Object(&PARALLEL)]),
            "How many devices at once.",
        ),
        Key::new("timeout", Kind::Text, "How long all of it may take."),
        Key::new("noop", Kind::Bool, "Whether it may have no devices."),
    ],
};

static RETRY: Mapping = Mapping {
    name: "retry",
    of: "`retry`",
    keys: &[
        Key::new("max", Kind::Text, "How often; a negative number: for ever.").required(),
        Key::new("delay", Kind::Text, "How long is waited before."),
    ],
};

static PARALLEL: Mapping = Mapping {
    name: "parallel",
    of: "`devices`",
    keys: &[Key::new("parallel", Kind::Whole { min: 1, max: 10_000, unit: "" }, "How many.").required()],
};

pub(super) static SCRIPT: Mapping =
    Mapping { name: "script", of: "a phase", keys: &[PAUSE, EXCHANGES, CHECKS] };

static PRECHECK_SCRIPT: Mapping = Mapping {
    name: "precheck",
    of: "a precheck",
    keys: &[
        PAUSE,
        EXCHANGES,
        CHECKS,
        Key::new("already", CHECK_LIST, "What is all true where there is nothing left to do."),
    ],
};

static EXCHANGE: Mapping = Mapping {
    name: "exchange",
    of: "an exchange",
    keys: &[
        Key::new("expect", Kind::Text, "A regular expression that is waited for."),
        Key::new("send", Kind::Text, "What is sent then."),
        Key::new("timeout", Kind::Text, "How long is waited; 0 is as long as the phase may take."),
        Key::new("ignore_exit", Kind::Bool, "Whether any exit status is fine."),
    ],
};

static CHECK: Mapping = Mapping {
    name: "check",
    of: "a check",
    keys: &[
        Key::new("expr", Kind::Text, "What has to be true.").required(),
        Key::new("message", Kind::Text, "What to say if it is not."),
    ],
};

static ROLLBACK: Mapping = Mapping {
    name: "rollback",
    of: "a rollback",
    keys: &[
        Key::new("when", CHECK_KIND, "The failures it is for."),
        Key::new("alert", Kind::Text, "What a person is told."),
        PAUSE,
        EXCHANGES,
        CHECKS,
    ],
};
