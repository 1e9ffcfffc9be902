//! Mail as files in a real folder.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use contracts::SystemEntropy;
use lettre::Address;
use lettre::address::Envelope;
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, Message, MultiPart, SinglePart};
use notification::domain::letter::{Letter, Progress};
use notification::mailer::{EmlMailer, Sender};
use notification::ports::{Mail, MailAnswer, Mailer as _};
use proptest::prelude::*;
use tokio::task::JoinSet;

use crate::given::{noon, order};

pub(crate) fn mailer(folder: &Path) -> EmlMailer {
    let sender: Sender = "Cambist <cambist@localhost>".parse().unwrap();
    EmlMailer::try_new(folder, sender, &SystemEntropy).unwrap()
}

/// Every file in the folder, whatever its name.
pub(crate) fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(folder).unwrap().map(Result::unwrap);
    entries
        .map(|entry| {
            let name = entry.file_name().into_string().unwrap();
            (name, std::fs::read(entry.path()).unwrap())
        })
        .collect()
}

pub(crate) fn mail(number: i64, email: &str, payload: &str) -> Mail {
    let letter = Letter::try_new(email.to_owned(), payload.to_owned()).unwrap();
    let progress = Progress::new(noon());
    Mail::new(order(number), &letter, progress, "cambist.localhost")
}

#[tokio::test]
async fn a_mail_is_one_file_as_rfc_5322_wants_it() {
    let folder = tempfile::tempdir().unwrap();
    let mails = folder.path().join("not/there/yet");
    let mail = mail(7, "ada@example.com", "Order 7 is completed\n\nYou bought 3 BTC.");
    assert_eq!(mailer(&mails).send(&mail).await, MailAnswer::Delivered);
    let written = files(&mails);
    assert_eq!(written.keys().collect::<Vec<_>>(), ["order-7.eml"]);
    let text = String::from_utf8(written["order-7.eml"].clone()).unwrap();
    let expected = "Message-ID: <order-7.1772625600000000@cambist.localhost>\r\n\
         Date: Wed, 04 Mar 2026 12:00:00 +0000\r\n\
         From: Cambist <cambist@localhost>\r\n\
         To: ada@example.com\r\n\
         Subject: Order 7 is completed\r\n\
         Auto-Submitted: auto-generated\r\n\
         MIME-Version: 1.0\r\n\
         Content-Type: multipart/alternative;\r\n boundary=\"cambist-";
    assert!(text.starts_with(expected), "{text}");
    let plain = "\r\n\
         Content-Type: text/plain; charset=utf-8\r\n\
         Content-Transfer-Encoding: 7bit\r\n\
         \r\n\
         Order 7 is completed\r\n\
         \r\n\
         You bought 3 BTC.\r\n";
    assert!(text.contains(plain), "{text}");
}

#[tokio::test]
async fn nobody_else_on_the_machine_reads_a_mail() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let mails = folder.path().join("mails");
    let mailer = Arc::new(mailer(&mails));
    // One alone is written with a name, many together without.
    assert_eq!(
        mailer.send(&mail(1, "ada@example.com", "Order 1")).await,
        MailAnswer::Delivered
    );
    let mut sending = JoinSet::new();
    for number in 2..50 {
        let mailer = Arc::clone(&mailer);
        sending.spawn(async move { mailer.send(&mail(number, "ada@example.com", "Order")).await });
    }
    assert!(
        sending
            .join_all()
            .await
            .iter()
            .all(|answer| *answer == MailAnswer::Delivered)
    );
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&mails), 0o700);
    for name in files(&mails).keys() {
        assert_eq!(mode(&mails.join(name)), 0o600, "{name}");
    }
    assert_eq!(files(&mails).len(), 49);
}

#[tokio::test]
async fn the_same_mail_again_is_the_same_file() {
    let folder = tempfile::tempdir().unwrap();
    let mail = mail(7, "ada@example.com", "Zamówienie 7 ₿\n\nZażółć.");
    mailer(folder.path()).send(&mail).await;
    let first = files(folder.path());
    for _ in 0..3 {
        assert_eq!(mailer(folder.path()).send(&mail).await, MailAnswer::Delivered);
        assert_eq!(files(folder.path()), first);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_at_once_are_all_written_each_once() {
    let folder = tempfile::tempdir().unwrap();
    // Two processes on one folder, and each mail three times.
    let mailers = [Arc::new(mailer(folder.path())), Arc::new(mailer(folder.path()))];
    let mut sending = JoinSet::new();
    for i in 0..600 {
        let mailer = Arc::clone(&mailers[i % 2]);
        let number = i64::try_from(i / 3).unwrap() + 1;
        sending.spawn(async move {
            mailer
                .send(&mail(number, "ada@example.com", &format!("Order {number}")))
                .await
        });
    }
    for answer in sending.join_all().await {
        assert_eq!(answer, MailAnswer::Delivered);
    }
    let written = files(folder.path());
    assert_eq!(written.len(), 200);
    for number in 1..=200 {
        let text = String::from_utf8(written[&format!("order-{number}.eml")].clone()).unwrap();
        assert!(text.contains(&format!("\r\nSubject: Order {number}\r\n")), "{text}");
    }
}

#[tokio::test]
async fn a_folder_that_is_gone_means_later_not_never() {
    let folder = tempfile::tempdir().unwrap();
    let mails = folder.path().join("mails");
    let mailer = mailer(&mails);
    std::fs::remove_dir(&mails).unwrap();
    let mail = mail(7, "ada@example.com", "Order 7");
    let answer = mailer.send(&mail).await;
    assert!(matches!(answer, MailAnswer::TryLater { .. }), "{answer:?}");
    std::fs::create_dir(&mails).unwrap();
    assert_eq!(mailer.send(&mail).await, MailAnswer::Delivered);
}

#[tokio::test]
async fn a_file_that_stands_in_the_way_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("order-7.eml")).unwrap();
    let answer = mailer(folder.path()).send(&mail(7, "ada@example.com", "Order 7")).await;
    assert!(matches!(answer, MailAnswer::TryLater { .. }), "{answer:?}");
    let left: Vec<_> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    assert_eq!(left, ["order-7.eml"], "no half-written file is left");
}

#[tokio::test]
async fn what_a_crash_left_half_written_is_removed_at_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(".order-7.eml.0123.tmp"), "half a ma").unwrap();
    std::fs::write(folder.path().join("order-6.eml"), "a mail").unwrap();
    std::fs::write(folder.path().join("notes.tmp"), "somebody else's").unwrap();
    let mailer = mailer(folder.path());
    assert_eq!(
        files(folder.path()).into_keys().collect::<Vec<_>>(),
        ["notes.tmp", "order-6.eml"]
    );
    mailer.send(&mail(7, "ada@example.com", "Order 7")).await;
    assert_eq!(files(folder.path()).len(), 3);
}

#[test]
fn a_sender_is_a_name_and_an_address() {
    for text in ["Cambist <cambist@localhost>", "cambist@example.com"] {
        assert!(text.parse::<Sender>().is_ok(), "{text}");
    }
    for text in ["", "Cambist", "Cambist <cambist>", "a@b.co\r\nBcc: eve@example.com"] {
        assert!(text.parse::<Sender>().is_err(), "{text}");
    }
}

/// The headers of a message, unfolded, and nothing of its body.
fn headers(bytes: &[u8]) -> Vec<String> {
    let text = std::str::from_utf8(bytes).unwrap();
    let (head, _) = text.split_once("\r\n\r\n").unwrap();
    assert!(!head.replace("\r\n", "").contains(['\r', '\n']), "{head:?}");
    let head = head.replace("\r\n ", " ").replace("\r\n\t", " ");
    let names = head
        .split("\r\n")
        .map(|line| line.split_once(':').unwrap().0.to_owned());
    names.collect()
}

/// The message that lettre's own builder makes.
fn by_the_builder(mail: &Mail, boundary: &str) -> Vec<u8> {
    let receiver: Address = mail.to.parse().unwrap();
    let sender: Mailbox = "Cambist <cambist@localhost>".parse().unwrap();
    let auto_submitted = HeaderName::new_from_ascii_str("Auto-Submitted");
    Message::builder()
        .envelope(Envelope::new(None, vec![receiver.clone()]).unwrap())
        .message_id(Some(mail.message_id.clone()))
        .date(mail.date.into())
        .from(sender)
        .to(Mailbox::new(None, receiver))
        .subject(&*mail.subject)
        .raw_header(HeaderValue::new(auto_submitted, "auto-generated".to_owned()))
        .multipart(
            MultiPart::alternative()
                .boundary(boundary)
                .singlepart(SinglePart::plain(mail.text.clone()))
                .singlepart(SinglePart::html(mail.html.clone())),
        )
        .unwrap()
        .formatted()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if std::env::var_os("CAMBIST_TEST_FULL").is_some() { 5_000 } else { 200 }))]

    /// Whatever is accepted as address and text, the headers are these, in number and order.
    #[test]
    fn nothing_that_is_written_becomes_a_header(
        email in prop_oneof![
            Just("ada@example.com".to_owned()),
            Just("\".\"@example.com".to_owned()),
            "[a-z\"\\\\(),:;<>@.\r\n ]{1,12}@[a-z]{1,8}\\.com(\r\nBcc: e@x\\.com)?",
        ],
        payload in prop_oneof![
            "\\PC{1,400}",
            "[ -~\r\n\t\u{2028}ż₿=?]{1,400}",
            "Order 7(\r\n|\n|\r)(Bcc: eve@example\\.com|\\.|Subject: x)(\r\n|\n|\r){1,3}x",
        ],
    ) {
        prop_assume!(payload.len() <= 4096);
        if let Ok(letter) = Letter::try_new(email, payload) {
            let mail = Mail::new(order(7), &letter, Progress::new(noon()), "cambist.localhost");
            let folder = tempfile::tempdir().unwrap();
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let answer = runtime.block_on(mailer(folder.path()).send(&mail));
            prop_assert_eq!(answer, MailAnswer::Delivered);
            let written = files(folder.path());
            let expected = ["Message-ID", "Date", "From", "To", "Subject", "Auto-Submitted", "MIME-Version", "Content-Type"];
            prop_assert_eq!(headers(&written["order-7.eml"]), expected);
        }
    }

    /// Most of a message is put together without lettre's builder, which reads back what it wrote; it is the same message.
    #[test]
    fn a_message_is_the_one_that_the_builder_makes(
        email in prop_oneof!["[a-z]{1,8}@[a-z]{1,8}\\.com", Just("\".\"@example.com".to_owned())],
        payload in "[a-z<]{1,90}([a-z ]{0,4}\n){0,3}([a-zż&' .]{0,80}(\r\n|\n)){0,4}([a-z]{70,80})?",
    ) {
        let letter = Letter::try_new(email, payload).unwrap();
        let mail = Mail::new(order(7), &letter, Progress::new(noon()), "cambist.localhost");
        let folder = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(mailer(folder.path()).send(&mail));
        let written = String::from_utf8(files(folder.path()).remove("order-7.eml").unwrap()).unwrap();
        let (_, boundary) = written.split_once("boundary=\"").unwrap();
        let (boundary, _) = boundary.split_once('"').unwrap();
        prop_assert_eq!(&written, &String::from_utf8(by_the_builder(&mail, boundary)).unwrap());
    }
}
