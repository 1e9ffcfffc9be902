//! Where mail goes: which addresses are understood, which are refused, and that no password is shown.

use service_kit::settings::{MailSecurity, SmtpUrl, Value as _};

use crate::settings::{from_env, message};

#[test]
fn an_address_says_where_how_and_as_whom() {
    use MailSecurity::{Open, StartTls, Tls};
    for (text, host, port, security, login) in [
        ("smtp://localhost", "localhost", 25, Open, None),
        ("smtp://mailpit:1025", "mailpit", 1025, Open, None),
        ("smtp://192.0.2.1:25/", "192.0.2.1", 25, Open, None),
        ("smtp://[::1]:2525", "::1", 2525, Open, None),
        (
            "smtp://mail.example.com?tls=required",
            "mail.example.com",
            587,
            StartTls,
            None,
        ),
        (
            "smtp://ada:s3cret@mail.example.com:25?tls=required",
            "mail.example.com",
            25,
            StartTls,
            Some(("ada", "s3cret")),
        ),
        (
            "smtps://ada%40example.com:p%40ss%2Fw%3Frd@mail.example.com",
            "mail.example.com",
            465,
            Tls,
            Some(("ada@example.com", "p@ss/w?rd")),
        ),
        (
            "smtps://mail.example.com:4650?tls=required",
            "mail.example.com",
            4650,
            Tls,
            None,
        ),
        (
            "smtp://ada:s3cret@127.0.0.1:2525",
            "127.0.0.1",
            2525,
            Open,
            Some(("ada", "s3cret")),
        ),
        (
            "smtp://ada:s3cret@mail:25?tls=none",
            "mail",
            25,
            Open,
            Some(("ada", "s3cret")),
        ),
    ] {
        let url = SmtpUrl::parse(text).unwrap_or_else(|error| panic!("{text} {error}"));
        assert_eq!(
            (url.host.as_str(), url.port, url.security),
            (host, port, security),
            "{text}"
        );
        let read = url
            .login
            .as_ref()
            .map(|(user, password)| (user.as_str(), password.expose()));
        assert_eq!(read, login, "{text}");
        assert!(!format!("{url:?}").contains("s3cret"), "{url:?}");
    }
}

#[test]
fn an_address_that_makes_no_sense_or_gives_a_password_away_is_refused_without_being_repeated() {
    for (text, words) in [
        ("hunter2", "is not an address of a mail server"),
        ("http://hunter2:25", "is not an address of a mail server"),
        ("smtp:hunter2", "is not an address of a mail server"),
        ("smtp://", "is not an address of a mail server"),
        ("smtp://:25", "is not an address of a mail server"),
        ("smtp://hunter2:99999", "is not an address of a mail server"),
        ("smtp://hunt er2", "is not an address of a mail server"),
        ("smtp://hunt%0Aer2", "is not an address of a mail server"),
        ("smtp://mail/hunter2", "is not an address of a mail server"),
        ("smtps://ada:hunter2/x@mail", "is not an address of a mail server"),
        ("smtps://ada:hunter2#x@mail", "is not an address of a mail server"),
        ("smtp://mail?tls=hunter2", "neither required nor none"),
        ("smtp://mail?tls=none&tls=required", "neither required nor none"),
        ("smtps://mail?tls=none", "neither required nor none"),
        (
            "smtp://mail?starttls=hunter2",
            "knows nothing behind the question mark but tls",
        ),
        ("smtps://hunter2@mail", "names a user without a password"),
        ("smtps://:hunter2@mail", "empty or unreadable user or password"),
        ("smtps://ada:hunter2%0D%0A@mail", "empty or unreadable user or password"),
        ("smtps://ada:hunter2%FF@mail", "empty or unreadable user or password"),
        ("smtp://ada:hunter2@mail:587", "would send its password unprotected"),
    ] {
        let error = SmtpUrl::parse(text).unwrap_err();
        assert!(error.contains(words), "{text}: {error}");
        let said = message(from_env(&[("CAMBIST_SMTP_URL", text)]));
        assert!(said.contains("CAMBIST_SMTP_URL") && said.contains(words), "{said}");
        assert!(!said.contains("hunter2") && said.lines().count() == 1, "{said}");
    }
}

#[test]
fn an_address_is_shown_without_its_password() {
    for (text, shown) in [
        ("", ""),
        ("smtp://localhost:25", "smtp://localhost:25"),
        (
            "smtp://ada:hunter2@mail:587?tls=required",
            "smtp://ada:[secret]@mail:587?tls=required",
        ),
        ("smtps://ada:hunter2@mail", "smtps://ada:[secret]@mail"),
        // What is not understood may hold a password anywhere.
        ("smtp://mail?password=hunter2", "[secret]"),
        ("smtp://ada:hunter2", "[secret]"),
        ("hunter2", "[secret]"),
    ] {
        assert_eq!(SmtpUrl::shown(text), shown);
    }
}
