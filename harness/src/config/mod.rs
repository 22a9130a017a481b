//! Configuration: shipped defaults, files, environment variables and flags, merged key by key, every value with where
//! it came from. Nothing that uses a setting, and no command line: flags come as values.
//!
//! | layer, lowest first | |
//! | --- | --- |
//! | `defaults.toml` | shipped |
//! | `/etc/lago/lago.conf`, `/etc/polder/polder.conf`, `/etc/polder/polder.toml` | the host's |
//! | `lago/lago.conf`, `polder/polder.conf`, `polder/polder.toml` in each folder of `$XDG_CONFIG_DIRS`, then in `$XDG_CONFIG_HOME` | the user's |
//! | `LAGO_KEY`, `LAGO__SECTION__KEY`, `POLDER_KEY`, `POLDER__SECTION__KEY` | the environment |
//! | flags | the command line |
//!
//! Keys of the root section stand in `[polder]` (or `[lago]`) of an INI file, and before the first table of a TOML file;
//! every other section is named after a verb and holds that verb's options.

mod error;
mod ini;
mod load;
mod merge;
mod schema;
mod show;
mod toml;
mod typed;
mod variables;

pub use error::ConfigError;
pub use error::Problem;
pub use load::Sources;
pub use merge::Entry;
pub use merge::Origin;
pub use merge::Setting;
pub use merge::Settings;
pub use schema::Key;
pub use typed::BudgetConfig;
pub use typed::Checkpoints;
pub use typed::Config;
pub use typed::Lab;
pub use typed::Share;
pub use variables::VARIABLES;
