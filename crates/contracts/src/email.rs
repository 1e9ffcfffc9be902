//! Which e-mail addresses are accepted: by `auth` when a user registers, by `notification` when a mail is asked for. One
//! rule for both, so that nobody registers with an address that no mail goes to.

use email_address::{EmailAddress, Options};

/// The longest e-mail address, in bytes (RFC 5321, section 4.5.3.1.3, less the angle brackets).
pub const MAX_EMAIL_BYTES: usize = 254;

/// What is accepted instead of `email`, for people; `None` if it is an address.
///
/// An address is what RFC 5321 calls a mailbox, of visible ASCII only and without a display name or an address literal:
/// it goes into a header, where a line break would begin another one, and addresses beyond ASCII (RFC 6531) reach few
/// mail systems. International domains have an ASCII form (`xn--…`).
#[must_use]
pub fn email_flaw(email: &str) -> Option<&'static str> {
    let options = Options::default().without_display_text().without_domain_literal();
    let sound = email.len() <= MAX_EMAIL_BYTES
        && email.bytes().all(|byte| byte.is_ascii_graphic())
        && EmailAddress::parse_with_options(email, options).is_ok();
    (!sound).then_some("an e-mail address looks like name@example.com and has at most 254 visible ASCII characters")
}
