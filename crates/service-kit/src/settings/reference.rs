//! The table as others read it: flags of the command line, and the reference in Markdown.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command};

use super::source::{FILE_NAME, FILE_VARIABLE, Gathered, SettingsError, read_file};
use super::table::{Setting, TABLE};

const CONFIG: &str = "config";

/// Adds a flag for every setting but the secrets, and `--config PATH`, to a command and its subcommands. They are
/// listed by `--help`, not by `-h`.
#[must_use]
pub fn with_flags(command: Command) -> Command {
    let file = Arg::new(CONFIG)
        .long(CONFIG)
        .value_name("PATH")
        .value_parser(clap::value_parser!(PathBuf))
        .global(true)
        .help(format!(
            "The settings file, instead of {FILE_NAME} where it exists [env: {FILE_VARIABLE}]"
        ))
        .help_heading("Settings");
    TABLE.iter().filter_map(flag).fold(command.arg(file), Command::arg)
}

fn flag(setting: &'static Setting) -> Option<Arg> {
    let default = match setting.default {
        "" => String::new(),
        text => format!(" [default: {text}]"),
    };
    let flag = Arg::new(setting.name)
        .long(setting.flag()?)
        .value_name(setting.kind)
        // Otherwise clap takes `-3` for a flag.
        .allow_negative_numbers(true)
        .global(true)
        .hide_short_help(true)
        .help(format!("{} [env: {}]{default}", setting.help(), setting.variable()))
        .help_heading(format!("Settings: {}", setting.group));
    Some(flag)
}

/// The flags that were given, as `(name, text)` for [`Gathered::with_flags`].
#[must_use]
pub fn given_flags(matches: &ArgMatches) -> Vec<(String, String)> {
    let given = |setting: &&Setting| matches!(matches.try_get_one::<String>(setting.name), Ok(Some(_)));
    let typed = |setting: &&Setting| matches.value_source(setting.name) == Some(ValueSource::CommandLine);
    TABLE
        .iter()
        .filter(given)
        .filter(typed)
        .filter_map(|setting| {
            Some((
                setting.name.to_owned(),
                matches.get_one::<String>(setting.name)?.clone(),
            ))
        })
        .collect()
}

/// Everything this process was told: its flags, its environment, and the settings file these name or, if they name
/// none, `cambist.toml` in the working directory. Defaults can still be replaced before [`Gathered::load`].
///
/// # Errors
/// As the methods of [`Gathered`].
pub fn from_process(matches: &ArgMatches) -> Result<Gathered, SettingsError> {
    let by_flag = matches.try_get_one::<PathBuf>(CONFIG).ok().flatten().cloned();
    let by_variable = || {
        std::env::var_os(FILE_VARIABLE)
            .filter(|path| !path.is_empty())
            .map(PathBuf::from)
    };
    let mut gathered = Gathered::new();
    if let Some((path, text)) = read_file(by_flag.or_else(by_variable))? {
        gathered = gathered.with_file(&path, &text)?;
    }
    gathered
        .with_environment(std::env::vars_os())?
        .with_flags(given_flags(matches))
}

/// The reference of all settings, as kept in `docs/SETTINGS.md`.
#[must_use]
pub fn reference_markdown() -> String {
    let mut page = String::from(
        "# Settings\n\nGenerated from `crates/service-kit/src/settings/table.rs`; change it there.\n\n\
         A flag outweighs an environment variable, a variable outweighs `cambist.toml` (in the working directory, or \
         where `--config` or `CAMBIST_CONFIG` says), the file outweighs the default. Unknown names are refused, \
         also those that a platform adds (on Kubernetes set `enableServiceLinks: false`). \
         `cambist config` shows what is in force and where it came from.\n\n\
         The key in `cambist.toml` is the name in the first column; the flag is the same with dashes \
         (`--request-timeout`). Secrets have no flag, because everybody on a machine can read command lines; the \
         variable with `_FILE` at the end names a file to read one from. A password in an address is \
         masked wherever the address is shown. Durations are a whole number and a unit: \
         `250ms`, `2s`, `15m`, `1h`, `7d`.\n",
    );
    let mut group = "";
    for setting in TABLE {
        if setting.group != group {
            group = setting.group;
            write!(
                page,
                "\n## {group}\n\n| setting | variable | value | default | what it does |\n|---|---|---|---|---|\n"
            )
            .expect("writing to a string cannot fail");
        }
        let default = if setting.default.is_empty() {
            String::new()
        } else {
            format!("`{}`", setting.default)
        };
        writeln!(
            page,
            "| `{}` | `{}` | {} | {default} | {} |",
            setting.name,
            setting.variable(),
            setting.kind.replace('|', "\\|"),
            setting.help().replace('|', "\\|"),
        )
        .expect("writing to a string cannot fail");
    }
    page
}
