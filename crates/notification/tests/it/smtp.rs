//! Mail to a real mail server, which answers as it is told.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use contracts::messages::{FailureCode, StepResult};
use notification::mailer::{SmtpMailer, SmtpServer};
use notification::ports::{MailAnswer, Mailer as _};
use serde_json::json;
use service_kit::settings::{SmtpUrl, Value as _};
use storage::commands::{Settlement, State};
use tokio::task::JoinSet;

use crate::eml::mail;
use crate::given::{self, Given, command, one_round};
use crate::server::MailServer;

/// A mailer to the server at this address, which waits longer than anything here takes.
pub(crate) fn mailer(url: &str) -> SmtpMailer {
    with(url, None, 2)
}

pub(crate) fn with(url: &str, authorities: Option<&str>, connections: usize) -> SmtpMailer {
    let server = SmtpServer {
        url: SmtpUrl::parse(url).unwrap(),
        authorities: authorities.map(|pem| pem.as_bytes().to_vec()),
        connect_timeout: Duration::from_secs(60),
        timeout: Duration::from_secs(60),
        connections: connections.try_into().unwrap(),
    };
    SmtpMailer::try_new(server, "Cambist <cambist@example.com>".parse().unwrap()).unwrap()
}

fn at(server: &MailServer) -> String {
    format!("smtp://127.0.0.1:{}", server.port)
}

fn through(server: &MailServer) -> Given {
    given::notification(Arc::new(mailer(&at(server))))
}

#[track_caller]
fn assert_later(answer: &MailAnswer, words: &str) {
    let later = matches!(answer, MailAnswer::TryLater { reason } if reason.contains(words));
    assert!(later, "not later because of {words:?}: {answer:?}");
}

#[tokio::test]
async fn a_mail_arrives_as_it_was_written() {
    let mut server = MailServer::plain().await;
    let letter = mail(7, "ada@example.net", "Order 7 is completed\n\n.You bought ₿ 3.\n..");
    assert_eq!(mailer(&at(&server)).send(&letter).await, MailAnswer::Delivered);
    let taken = server.taken().await;
    assert_eq!(taken.sender, "cambist@example.com");
    assert_eq!(taken.receivers, ["ada@example.net"]);
    for (name, text) in [
        ("Message-ID", "<order-7.1772625600000000@cambist.localhost>"),
        ("Date", "Wed, 04 Mar 2026 12:00:00 +0000"),
        ("From", "Cambist <cambist@example.com>"),
        ("To", "ada@example.net"),
        ("Subject", "Order 7 is completed"),
        ("Auto-Submitted", "auto-generated"),
        ("MIME-Version", "1.0"),
    ] {
        assert_eq!(taken.header(name), text);
    }
    assert!(
        taken
            .header("Content-Type")
            .starts_with("multipart/alternative; boundary=")
    );
    // Lines that are or begin with a dot mean something to SMTP; they arrive as they were.
    assert!(
        taken.data.contains("\r\n.You bought =E2=82=BF 3.\r\n..\r\n"),
        "{}",
        taken.data
    );
    assert!(server.end().await.is_empty());
}

#[tokio::test]
async fn a_greylisted_mail_is_tried_again_and_arrives_once() {
    for answer in ["451 4.7.1 come again", "data 451 4.3.0 come again"] {
        let server = MailServer::start(json!({"answers": {"ada@example.com": [answer, "250"]}})).await;
        let given = through(&server);
        given.submit(vec![command(7)]).await;
        let first = one_round(&given, 7).await.unwrap();
        assert!(
            matches!(&first, Settlement::Postponed { reason, .. } if reason.contains("come again")),
            "{first:?}"
        );
        given.clock.advance(Duration::from_secs(1));
        one_round(&given, 7).await.unwrap();
        assert_eq!(given.record(7).await.unwrap().state, State::Done);
        assert_eq!(server.end().await.len(), 1);
    }
}

#[tokio::test]
async fn a_mail_that_is_refused_ends_as_failed_and_holds_nobody_else_up() {
    for answer in ["550 5.1.1 no such user", "data 554 5.6.0 we do not like it"] {
        let mut server = MailServer::start(json!({"answers": {"ada@example.com": [answer]}})).await;
        let mailer = Arc::new(with(&at(&server), None, 1));
        let given = given::notification(Arc::clone(&mailer) as _);
        given.submit(vec![command(7)]).await;
        one_round(&given, 7).await.unwrap();
        let record = given.record(7).await.unwrap();
        assert_eq!(record.state, State::Failed);
        let Some(StepResult::Failure { code, detail }) = record.result else {
            panic!("{record:?}")
        };
        assert_eq!(code, FailureCode::Undeliverable);
        assert!(detail.contains(&answer[answer.len() - 6..]), "{detail}");

        let other = mail(8, "bob@example.com", "Order 8");
        assert_eq!(mailer.send(&other).await, MailAnswer::Delivered);
        let taken = server.taken().await;
        assert_eq!(
            (taken.receivers, taken.session),
            (vec!["bob@example.com".to_owned()], 1)
        );
        assert!(server.end().await.is_empty());
    }
}

#[tokio::test]
async fn what_is_refused_by_policy_is_tried_again_until_an_operator_has_mended_it() {
    let refusals = [
        "550 5.7.1 relaying denied",
        "begin 554 5.7.1 not before your address has a name",
        "data 550 5.7.26 unauthenticated: neither SPF nor DKIM passes",
    ];
    for refusal in refusals {
        let mut server = MailServer::start(json!({"answers": {"ada@example.com": [refusal, "250"]}})).await;
        let given = through(&server);
        given.submit(vec![command(7)]).await;
        one_round(&given, 7).await.unwrap();
        assert_eq!(given.record(7).await.unwrap().state, State::Open, "{refusal}");
        given.clock.advance(Duration::from_secs(60));
        one_round(&given, 7).await.unwrap();
        assert_eq!(given.record(7).await.unwrap().state, State::Done, "{refusal}");
        assert_eq!(server.taken().await.receivers, ["ada@example.com"]);
        assert!(server.end().await.is_empty());
    }
}

#[tokio::test]
async fn a_server_that_is_down_gets_its_mail_when_it_is_up() {
    // An address of this test's own: nobody takes its port while the server is down.
    let host = "127.25.7.1";
    let server = MailServer::start(json!({"host": host})).await;
    let port = server.port;
    server.end().await;
    let given = given::notification(Arc::new(mailer(&format!("smtp://{host}:{port}"))));
    given.submit(vec![command(7)]).await;
    for seconds in [1, 2, 4] {
        let settlement = one_round(&given, 7).await.unwrap();
        assert!(
            matches!(&settlement, Settlement::Postponed { reason, .. } if reason.contains("is not ready")),
            "{settlement:?}"
        );
        given.clock.advance(Duration::from_secs(seconds));
    }
    let server = MailServer::start(json!({"host": host, "port": port})).await;
    one_round(&given, 7).await.unwrap();
    assert_eq!(given.record(7).await.unwrap().state, State::Done);
    assert_eq!(server.end().await.len(), 1);
}

#[tokio::test]
async fn a_server_that_hangs_up_after_its_answer_has_the_mail_and_gets_the_next_one() {
    let mut server = MailServer::start(json!({"answers": {"ada@example.com": ["250 drop"]}})).await;
    let mailer = with(&at(&server), None, 1);
    for number in 1..=3 {
        let letter = mail(number, "ada@example.com", "Order");
        assert_eq!(mailer.send(&letter).await, MailAnswer::Delivered);
        assert_eq!(server.taken().await.session, u64::try_from(number).unwrap());
    }
    assert!(server.end().await.is_empty());
}

#[tokio::test]
async fn a_lost_answer_is_made_up_for_by_one_more_mail_with_the_same_id() {
    let server = MailServer::start(json!({"answers": {"ada@example.com": ["drop", "250"]}})).await;
    let given = through(&server);
    given.submit(vec![command(7)]).await;
    let first = one_round(&given, 7).await.unwrap();
    assert!(
        matches!(&first, Settlement::Postponed { reason, .. } if reason.contains("before the mail was confirmed")),
        "{first:?}"
    );
    given.clock.advance(Duration::from_secs(1));
    one_round(&given, 7).await.unwrap();
    assert_eq!(given.record(7).await.unwrap().state, State::Done);
    let taken = server.end().await;
    assert_eq!(taken.len(), 2);
    assert_eq!(taken[0].data, taken[1].data, "the same mail, its id included");
}

#[tokio::test]
async fn a_server_that_never_confirms_gets_a_mail_twice_and_no_oftener() {
    let server = MailServer::start(json!({"answers": {"ada@example.com": ["drop"]}})).await;
    let given = through(&server);
    given.submit(vec![command(7)]).await;
    while given.record(7).await.unwrap().state == State::Open {
        one_round(&given, 7).await.unwrap();
        given.clock.advance(Duration::from_secs(3_600));
    }
    let record = given.record(7).await.unwrap();
    assert_eq!(record.state, State::Failed);
    let detail = format!("{:?}", record.result);
    assert!(detail.contains("it may have arrived"), "{detail}");
    assert_eq!(server.end().await.len(), 2);
}

#[tokio::test]
async fn an_answer_that_does_not_come_in_time_is_unknown_not_failed() {
    let mut server = MailServer::start(json!({"answers": {"ada@example.com": ["hold"]}})).await;
    let mailer = mailer(&at(&server));
    let letter = mail(7, "ada@example.com", "Order 7");
    let sending = tokio::spawn(async move { mailer.send(&letter).await });
    server.taken().await;
    // From here on time passes as soon as everybody waits.
    tokio::time::pause();
    let answer = sending.await.unwrap();
    assert!(
        matches!(&answer, MailAnswer::Unconfirmed { reason } if reason.contains("did not answer in time")),
        "{answer:?}"
    );
}

#[tokio::test]
async fn dying_between_the_server_s_answer_and_the_commit_repeats_the_mail_once_with_the_same_id() {
    let server = MailServer::plain().await;
    let given = through(&server);
    given.submit(vec![command(7)]).await;
    let claimed = given.claimed(7).await.unwrap();
    // The server has it; the process dies before that is recorded.
    let lost = given.service.handler().handle(claimed).await;
    assert!(matches!(lost, Settlement::Finished { .. }), "{lost:?}");
    let given = given.restarted(Arc::new(mailer(&at(&server)))).await;
    assert_eq!(given.service.release_leases().await.unwrap(), 1);
    one_round(&given, 7).await.unwrap();
    assert_eq!(given.record(7).await.unwrap().state, State::Done);
    given.clock.advance(Duration::from_secs(3_600));
    assert_eq!(one_round(&given, 7).await, None);
    let taken = server.end().await;
    assert_eq!(taken.len(), 2);
    assert_eq!(taken[0].header("Message-ID"), taken[1].header("Message-ID"));
    assert_eq!(taken[0].data, taken[1].data);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_mails_share_a_few_connections() {
    let server = MailServer::plain().await;
    let mailer = Arc::new(with(&at(&server), None, 3));
    let mut sending = JoinSet::new();
    for number in 1..=60 {
        let mailer = Arc::clone(&mailer);
        sending.spawn(async move { mailer.send(&mail(number, "ada@example.com", "Order")).await });
    }
    for answer in sending.join_all().await {
        assert_eq!(answer, MailAnswer::Delivered);
    }
    let taken = server.end().await;
    assert_eq!(taken.len(), 60);
    let ids: BTreeSet<_> = taken.iter().map(|mail| mail.header("Message-ID")).collect();
    assert_eq!(ids.len(), 60);
    assert!(
        taken.iter().all(|mail| mail.session <= 3),
        "more than three connections"
    );
}

#[tokio::test]
async fn a_login_is_made_where_the_server_wants_one_and_a_wrong_one_is_no_mail_s_fault() {
    let server = MailServer::start(json!({"login": ["cambist", "s3cret/?#"]})).await;
    let letter = mail(7, "ada@example.com", "Order 7");
    let with_login = |login: &str| mailer(&format!("smtp://{login}127.0.0.1:{}", server.port));
    let answer = with_login("cambist:hunter2@").send(&letter).await;
    assert_later(&answer, "535");
    assert!(!format!("{answer:?}").contains("hunter2"), "{answer:?}");
    assert_later(&with_login("").send(&letter).await, "530");
    let right = with_login("cambist:s3cret%2F%3F%23@");
    assert_eq!(right.send(&letter).await, MailAnswer::Delivered);
    assert_eq!(server.end().await.len(), 1);
}
