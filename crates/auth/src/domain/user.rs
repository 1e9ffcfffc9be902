//! What makes a user: which names, addresses and passwords are accepted.
//!
//! A [`Profile`] cannot be made but through its check, so whatever a store is given is sound. A [`Password`] is never
//! printed.

use std::fmt;

use contracts::email::email_flaw;

/// The hot wallet's user name; nobody else gets it.
pub const HOT_WALLET_USERNAME: &str = "hot_wallet";

/// A password in the clear, on its way to being hashed. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

impl Password {
    /// The fewest bytes of a new password.
    pub const MIN_BYTES: usize = 8;
    /// The most bytes of a new password: enough for a sentence, little enough to hash.
    pub const MAX_BYTES: usize = 128;

    /// This text as a password. Whether it would do as a new one is decided at registration; at login any text may be
    /// tried.
    #[must_use]
    pub const fn new(text: String) -> Self {
        Self(text)
    }

    /// The bytes that are hashed: the text as it came, not normalised.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

/// What somebody wants to register with; unchecked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    /// The name to log in with.
    pub username: String,
    /// First name.
    pub first_name: String,
    /// Last name.
    pub last_name: String,
    /// Where notifications go.
    pub email: String,
    /// The password.
    pub password: Password,
}

/// A field of a registration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Field {
    /// The user name.
    Username,
    /// The first name.
    FirstName,
    /// The last name.
    LastName,
    /// The e-mail address.
    Email,
    /// The password.
    Password,
}

impl Field {
    /// The name in bodies.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Username => "username",
            Self::FirstName => "first_name",
            Self::LastName => "last_name",
            Self::Email => "email",
            Self::Password => "password",
        }
    }
}

/// What is wrong with a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flaw {
    /// Which one.
    pub field: Field,
    /// What is accepted there.
    pub detail: &'static str,
}

/// A user's data, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    username: String,
    first_name: String,
    last_name: String,
    email: String,
}

impl Profile {
    /// The profile and the password of a registration.
    ///
    /// # Errors
    /// Every flaw, in the order of the fields.
    pub fn try_new(registration: Registration) -> Result<(Self, Password), Vec<Flaw>> {
        let Registration {
            username,
            first_name,
            last_name,
            email,
            password,
        } = registration;
        let checks = [
            (Field::Username, username_flaw(&username)),
            (Field::FirstName, name_flaw(&first_name)),
            (Field::LastName, name_flaw(&last_name)),
            (Field::Email, email_flaw(&email)),
            (Field::Password, password_flaw(&password)),
        ];
        let flaws: Vec<_> = checks
            .into_iter()
            .filter_map(|(field, detail)| Some(Flaw { field, detail: detail? }))
            .collect();
        if flaws.is_empty() {
            let profile = Self {
                username,
                first_name,
                last_name,
                email,
            };
            Ok((profile, password))
        } else {
            Err(flaws)
        }
    }

    /// The user name, in the case it was registered in.
    #[must_use]
    pub fn username(&self) -> &str {
        &self.username
    }

    /// First name.
    #[must_use]
    pub fn first_name(&self) -> &str {
        &self.first_name
    }

    /// Last name.
    #[must_use]
    pub fn last_name(&self) -> &str {
        &self.last_name
    }

    /// The address, in the case it was registered in.
    #[must_use]
    pub fn email(&self) -> &str {
        &self.email
    }

    /// What must be unique, as it is compared.
    #[must_use]
    pub fn identity(&self) -> Identity {
        Identity {
            username: folded(&self.username),
            email: folded(&self.email),
        }
    }
}

/// What two users cannot have in common, in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The user name.
    pub username: String,
    /// The e-mail address. Strictly, RFC 5321 lets a mail system tell `A@x` from `a@x`; none that matters does, and
    /// whoever registers both is one person.
    pub email: String,
}

/// Which part of an identity somebody has already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Taken {
    /// The user name.
    pub username: bool,
    /// The e-mail address.
    pub email: bool,
}

impl Taken {
    /// Whether anything is.
    #[must_use]
    pub const fn any(self) -> bool {
        self.username || self.email
    }
}

/// A name as it is compared. Accepted names and addresses are ASCII, so there is only one way to fold them.
#[must_use]
pub fn folded(name: &str) -> String {
    name.to_ascii_lowercase()
}

fn username_flaw(name: &str) -> Option<&'static str> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    let sound = (3..=32).contains(&name.len())
        && name.bytes().all(plain)
        && name.bytes().next().is_some_and(|first| first.is_ascii_alphanumeric());
    if !sound {
        return Some(
            "a user name has 3 to 32 letters (A-Z, a-z), digits and _ . - and starts with a letter or a digit",
        );
    }
    (folded(name) == HOT_WALLET_USERNAME).then_some("this user name is reserved")
}

fn name_flaw(name: &str) -> Option<&'static str> {
    let sound = (1..=64).contains(&name.chars().count())
        && !name.chars().any(char::is_control)
        && !name.chars().all(char::is_whitespace);
    (!sound).then_some("a name has 1 to 64 characters, none of them a control character, and is not blank")
}

fn password_flaw(password: &Password) -> Option<&'static str> {
    let sound = (Password::MIN_BYTES..=Password::MAX_BYTES).contains(&password.as_bytes().len());
    (!sound).then_some("a password has 8 to 128 bytes")
}
