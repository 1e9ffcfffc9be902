//! Where values of settings come from, which of them counts, and what is wrong with the others.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::nearest::nearest;
use super::table::{Setting, Settings, TABLE};
use super::value::Value;

/// The file that is read when it lies in the working directory.
pub const FILE_NAME: &str = "cambist.toml";

/// The variable that names another file; so does `--config`.
pub const FILE_VARIABLE: &str = "CAMBIST_CONFIG";

/// Larger files are no settings.
const MAX_FILE_BYTES: u64 = 64 * 1024;

/// Where a value came from; a later origin outweighs an earlier one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// Nobody set it.
    Default,
    /// The settings file of this name.
    File(String),
    /// Its environment variable.
    Environment,
    /// The file that its environment variable with `_FILE` at the end names.
    SecretFile,
    /// Its flag.
    Flag,
}

impl Origin {
    fn weight(&self) -> u8 {
        match self {
            Self::Default => 0,
            Self::File(_) => 1,
            Self::Environment | Self::SecretFile => 2,
            Self::Flag => 3,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(name) => f.write_str(name),
            Self::Environment => f.write_str("environment"),
            Self::SecretFile => f.write_str("secret file"),
            Self::Flag => f.write_str("flag"),
        }
    }
}

/// Why settings cannot be used. One line each, which says what to do, and never shows a secret.
#[derive(Debug, Error)]
pub enum SettingsError {
    /// A key that no setting has.
    #[error("{place}: there is no setting `{key}`{}", .nearest.as_ref().map_or_else(String::new, |name| format!("; did you mean `{name}`?")))]
    Unknown {
        /// The file or the environment.
        place: String,
        /// The key as written.
        key: String,
        /// The setting whose name is nearest, if any is near.
        nearest: Option<String>,
    },
    /// A value that its setting cannot have.
    #[error("{place}: {value} {problem}")]
    Invalid {
        /// Where it is set: a flag, a variable, a key of a file.
        place: String,
        /// The value, or a stand-in for a secret.
        value: String,
        /// What is wrong, and what to write instead.
        problem: String,
    },
    /// The settings file, or the file of a secret, cannot be read or understood.
    #[error("{path}: {problem}")]
    File {
        /// Which.
        path: String,
        /// What is wrong.
        problem: String,
    },
    /// Settings that are fine each, but not together.
    #[error("{0}")]
    Contradiction(String),
}

/// A value of a setting in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effective {
    /// The setting.
    pub name: &'static str,
    /// Its value's text, secrets masked.
    pub value: String,
    /// Where it came from.
    pub origin: Origin,
}

/// Settings that passed every check, and where each came from.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The typed settings.
    pub settings: Settings,
    effective: Vec<Effective>,
}

impl Loaded {
    /// The values in force, in the order of the table, for `cambist config` and the log at start.
    #[must_use]
    pub fn effective(&self) -> &[Effective] {
        &self.effective
    }
}

/// Texts of settings, gathered from several origins. The order of gathering does not matter: flags outweigh the
/// environment, the environment the file, the file the defaults.
#[derive(Debug, Default)]
pub struct Gathered(BTreeMap<&'static str, (String, Origin)>);

impl Gathered {
    /// Nothing but defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Replaces the table's default, as `up` does for `deposits`.
    ///
    /// # Errors
    /// [`SettingsError::Unknown`] for a name that is not in the table.
    pub fn with_default(mut self, name: &str, text: &str) -> Result<Self, SettingsError> {
        self.put(find(name, "the program's defaults")?, text.to_owned(), Origin::Default);
        Ok(self)
    }

    /// Adds what a settings file says: flat TOML; numbers, truth values and texts.
    ///
    /// # Errors
    /// A file that is not flat TOML, unknown keys, fractions that are not quoted (they would pass through a float).
    pub fn with_file(mut self, path: &Path, text: &str) -> Result<Self, SettingsError> {
        let name = path.display().to_string();
        let wrong = |problem: String| SettingsError::File {
            path: name.clone(),
            problem,
        };
        let table: toml::Table = toml::from_str(text).map_err(|error| {
            // Only the message: the error's full text quotes the line, which may hold a secret.
            let line = error
                .span()
                .map_or(1, |span| text[..span.start].matches('\n').count() + 1);
            wrong(format!("line {line}: {}", error.message().replace('\n', ", ")))
        })?;
        for (key, value) in table {
            let setting = find(&key, &name)?;
            let text = match value {
                toml::Value::String(text) => text,
                toml::Value::Integer(number) => number.to_string(),
                toml::Value::Boolean(truth) => truth.to_string(),
                toml::Value::Float(_) => return Err(wrong(format!("`{key}`: put a number with decimals in quotes"))),
                toml::Value::Datetime(_) | toml::Value::Array(_) | toml::Value::Table(_) => {
                    return Err(wrong(format!("`{key}`: settings are flat; write {key} = \"…\"")));
                }
            };
            self.put(setting, text, Origin::File(name.clone()));
        }
        Ok(self)
    }

    /// Adds the variables that start with `CAMBIST_`; others are none of our business. A secret may also be named by
    /// file: `CAMBIST_INTERNAL_TOKEN_FILE=/run/secrets/token`.
    ///
    /// # Errors
    /// Unknown variables with our prefix, values that are not Unicode, secret files that cannot be read.
    pub fn with_environment(
        mut self,
        variables: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Self, SettingsError> {
        for (key, value) in variables {
            let Some(key) = key
                .to_str()
                .filter(|key| key.starts_with("CAMBIST_") && *key != FILE_VARIABLE)
            else {
                continue;
            };
            let value = value.into_string().map_err(|_| SettingsError::Invalid {
                place: key.to_owned(),
                value: "the value".into(),
                problem: "is not Unicode text".into(),
            })?;
            let by_file = key
                .strip_suffix("_FILE")
                .and_then(by_variable)
                .filter(|setting| setting.secret);
            if let Some(setting) = by_file {
                let text = read_bounded(Path::new(&value)).map_err(|error| SettingsError::File {
                    path: format!("{key}: {value}"),
                    problem: error.to_string(),
                })?;
                self.put(
                    setting,
                    text.trim_end_matches(['\r', '\n']).to_owned(),
                    Origin::SecretFile,
                );
            } else {
                let setting = by_variable(key).ok_or_else(|| unknown_variable(key))?;
                self.put(setting, value, Origin::Environment);
            }
        }
        Ok(self)
    }

    /// Adds flags, as `(name, text)` with the names of the table.
    ///
    /// # Errors
    /// [`SettingsError::Unknown`] for a name that is not in the table.
    pub fn with_flags(mut self, flags: impl IntoIterator<Item = (String, String)>) -> Result<Self, SettingsError> {
        for (name, text) in flags {
            self.put(find(&name, "the command line")?, text, Origin::Flag);
        }
        Ok(self)
    }

    /// Reads every value as its type, and checks that they fit together.
    ///
    /// # Errors
    /// The first value, in the order of the table, that its setting cannot have; then contradictions.
    pub fn load(self) -> Result<Loaded, SettingsError> {
        let settings = Settings::from_gathered(&self)?;
        settings.check()?;
        let effective = TABLE.iter().map(|setting| {
            let (text, origin) = self.text(setting);
            Effective {
                name: setting.name,
                value: (setting.shown)(&text),
                origin,
            }
        });
        Ok(Loaded {
            effective: effective.collect(),
            settings,
        })
    }

    pub(super) fn value<T: Value>(&self, name: &'static str) -> Result<T, SettingsError> {
        let setting = TABLE
            .iter()
            .find(|setting| setting.name == name)
            .expect("the caller is generated from the table");
        let (text, origin) = self.text(setting);
        T::parse(&text).map_err(|problem| {
            let place = match origin {
                Origin::Default => format!("the default of {name}"),
                Origin::File(file) => format!("{file}: {name}"),
                Origin::Environment => setting.variable(),
                Origin::SecretFile => format!("{}_FILE", setting.variable()),
                Origin::Flag => format!("--{}", name.replace('_', "-")),
            };
            let value = if setting.secret {
                String::from("the value")
            } else {
                format!("`{}`", (setting.shown)(&text))
            };
            SettingsError::Invalid { place, value, problem }
        })
    }

    fn text(&self, setting: &Setting) -> (String, Origin) {
        match self.0.get(setting.name) {
            Some((text, Origin::Default)) => (self.expanded(text), Origin::Default),
            Some((text, origin)) => (text.clone(), origin.clone()),
            None => (self.expanded(setting.default), Origin::Default),
        }
    }

    /// Only defaults refer to the data directory; what somebody writes is taken as it is.
    fn expanded(&self, default: &str) -> String {
        const DATA_DIR: &str = "{data_dir}";
        if !default.contains(DATA_DIR) {
            return default.to_owned();
        }
        let setting = TABLE
            .iter()
            .find(|setting| setting.name == "data_dir")
            .expect("the table has a data_dir");
        default.replace(DATA_DIR, &self.text(setting).0)
    }

    fn put(&mut self, setting: &Setting, text: String, origin: Origin) {
        let weight = origin.weight();
        let outweighed = self
            .0
            .get(setting.name)
            .is_some_and(|(_, present)| present.weight() > weight);
        if !outweighed {
            self.0.insert(setting.name, (text, origin));
        }
    }
}

/// The settings file to read: the one that is named, else `cambist.toml` in the working directory if there is one.
///
/// # Errors
/// A named file that cannot be read; a file of more than 64 KiB.
pub fn read_file(named: Option<PathBuf>) -> Result<Option<(PathBuf, String)>, SettingsError> {
    let optional = named.is_none();
    let path = named.unwrap_or_else(|| PathBuf::from(FILE_NAME));
    match read_bounded(&path) {
        Ok(text) => Ok(Some((path, text))),
        Err(error) if optional && error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(SettingsError::File {
            path: path.display().to_string(),
            problem: error.to_string(),
        }),
    }
}

fn read_bounded(path: &Path) -> io::Result<String> {
    use io::Read as _;
    let mut text = String::new();
    let read = std::fs::File::open(path)?
        .take(MAX_FILE_BYTES + 1)
        .read_to_string(&mut text)?;
    if u64::try_from(read).unwrap_or(u64::MAX) > MAX_FILE_BYTES {
        return Err(io::Error::other(format!("is larger than {MAX_FILE_BYTES} bytes")));
    }
    Ok(text)
}

fn find(name: &str, place: &str) -> Result<&'static Setting, SettingsError> {
    TABLE
        .iter()
        .find(|setting| setting.name == name)
        .ok_or_else(|| SettingsError::Unknown {
            place: place.to_owned(),
            key: name.to_owned(),
            nearest: nearest(name, TABLE.iter().map(|setting| setting.name.to_owned())),
        })
}

fn by_variable(key: &str) -> Option<&'static Setting> {
    TABLE.iter().find(|setting| setting.variable() == key)
}

fn unknown_variable(key: &str) -> SettingsError {
    let name = key.trim_start_matches("CAMBIST_").to_ascii_lowercase();
    let near = nearest(&name, TABLE.iter().map(|setting| setting.name.to_owned()));
    SettingsError::Unknown {
        place: "the environment".into(),
        key: key.to_owned(),
        nearest: near
            .and_then(|near| TABLE.iter().find(|setting| setting.name == near))
            .map(Setting::variable),
    }
}
