//! From accepted to delivered, whatever comes between.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use contracts::Clock as _;
use contracts::clients::Submission;
use contracts::messages::{FailureCode, StepResult};
use contracts::time::later;
use notification::Settings;
use notification::ports::{Mail, MailAnswer, Mailer};
use service_kit::shutdown::Shutdown;
use storage::commands::{Settlement, State};

use super::{notification, with};
use crate::eml::{files, mailer};
use crate::given::{Given, LEASE, ToldMailer, command, noon, one_round, process};

fn try_later() -> MailAnswer {
    MailAnswer::TryLater {
        reason: "greylisted".to_owned(),
    }
}

#[tokio::test]
async fn an_accepted_notification_goes_out_as_it_was_accepted() {
    let (told, _) = ToldMailer::new([]);
    let given = notification(Arc::clone(&told) as _).await;
    given.submit(vec![command(7)]).await;
    given.clock.advance(Duration::from_secs(2));
    one_round(&given, 7).await.unwrap();
    let [mail] = &told.sent()[..] else {
        panic!("{:?}", told.sent())
    };
    assert_eq!(mail.message_id, "<order-7.1772625600000000@cambist.localhost>");
    assert_eq!(mail.to, "ada@example.com");
    assert_eq!(mail.subject, "Order 7 is completed");
    assert_eq!(mail.text, "Order 7 is completed\n\nYou bought 3 BTC.\n");
    assert_eq!(mail.date, noon(), "the date of acceptance, not of sending");
    let record = given.record(7).await.unwrap();
    assert_eq!((record.state, record.result), (State::Done, Some(StepResult::Notified)));
}

#[tokio::test]
async fn a_delivered_notification_is_never_sent_a_second_time() {
    let (told, _) = ToldMailer::new([]);
    let given = notification(Arc::clone(&told) as _).await;
    given.submit(vec![command(7)]).await;
    one_round(&given, 7).await.unwrap();
    given.clock.advance(Duration::from_secs(3_600));
    assert_eq!(
        given.submit(vec![command(7)]).await,
        [Submission::Accepted { replayed: true }]
    );
    assert_eq!(one_round(&given, 7).await, None);
    assert_eq!(told.sent().len(), 1);
}

#[tokio::test]
async fn try_later_is_tried_later_as_the_same_mail_and_given_up_in_the_end() {
    let (told, _) = ToldMailer::new((0..100).map(|_| try_later()));
    let mut settings = Settings::default();
    settings.patience.max_tries = std::num::NonZeroU32::new(4).unwrap();
    let given = with(Arc::clone(&told) as _, settings).await;
    given.submit(vec![command(7)]).await;
    for pause in [1_u64, 2, 4] {
        let Some(Settlement::Postponed {
            until, answer_missing, ..
        }) = one_round(&given, 7).await
        else {
            panic!("not postponed");
        };
        let pause = Duration::from_secs(pause);
        let now = given.clock.now();
        assert!(later(now, pause / 2) <= until && until <= later(now, pause));
        assert!(!answer_missing, "nobody waits for the result");
        assert_eq!(one_round(&given, 7).await, None, "not before the pause is over");
        given.clock.advance(pause);
    }
    one_round(&given, 7).await.unwrap();
    let record = given.record(7).await.unwrap();
    assert_eq!(record.state, State::Failed);
    let Some(StepResult::Failure { code, detail }) = record.result else {
        panic!("{record:?}")
    };
    assert_eq!(code, FailureCode::Undeliverable);
    assert_eq!(detail, "given up after 4 tries: greylisted");
    let sent = told.sent();
    assert_eq!(sent.len(), 4);
    assert!(sent.iter().all(|mail| *mail == sent[0]));
}

#[tokio::test]
async fn refused_is_undeliverable_at_once() {
    let refusal = MailAnswer::Refused {
        reason: "no such mailbox".to_owned(),
    };
    let given = notification(ToldMailer::new([refusal]).0).await;
    given.submit(vec![command(7)]).await;
    one_round(&given, 7).await.unwrap();
    let record = given.record(7).await.unwrap();
    assert_eq!(record.state, State::Failed);
    assert!(matches!(
        record.result,
        Some(StepResult::Failure {
            code: FailureCode::Undeliverable,
            ..
        })
    ));
}

#[tokio::test]
async fn a_lost_answer_is_made_up_for_once() {
    let unconfirmed = || MailAnswer::Unconfirmed {
        reason: "the connection broke".to_owned(),
    };
    let (told, _) = ToldMailer::new([
        try_later(),
        unconfirmed(),
        try_later(),
        unconfirmed(),
        MailAnswer::Delivered,
    ]);
    let given = notification(Arc::clone(&told) as _).await;
    given.submit(vec![command(7)]).await;
    for _ in 0..4 {
        one_round(&given, 7).await.unwrap();
        given.clock.advance(Duration::from_secs(60));
    }
    let record = given.record(7).await.unwrap();
    let detail = "given up after 4 tries (it may have arrived: 2 of them were never answered): the connection broke";
    let result = StepResult::Failure {
        code: FailureCode::Undeliverable,
        detail: detail.to_owned(),
    };
    assert_eq!((record.state, record.result), (State::Failed, Some(result)));
    assert_eq!(told.sent().len(), 4);
}

#[tokio::test]
async fn what_waited_too_long_for_its_claim_is_left_to_the_next_one() {
    let (told, _) = ToldMailer::new((0..100).map(|_| try_later()));
    let given = notification(Arc::clone(&told) as _).await;
    given.submit(vec![command(7)]).await;
    let claimed = given.claimed(7).await.unwrap();
    given
        .clock
        .advance(LEASE - Settings::default().send_timeout + Duration::from_millis(1));
    let handed_back = given.service.handler().handle(claimed.clone()).await;
    assert!(told.sent().is_empty(), "the lease might have ended while it was sent");
    given.settle(&claimed, handed_back).await;
    // It is due at once, and has all its tries before it.
    let Some(Settlement::Postponed { until, .. }) = one_round(&given, 7).await else {
        panic!("not postponed");
    };
    assert!(until <= later(given.clock.now(), Duration::from_secs(1)));
    assert_eq!(told.sent().len(), 1);
}

struct Silent;

#[async_trait]
impl Mailer for Silent {
    async fn send(&self, _: &Mail) -> MailAnswer {
        std::future::pending().await
    }
}

#[tokio::test]
async fn a_mail_system_that_does_not_answer_is_not_waited_for_for_ever() {
    let settings = Settings {
        send_timeout: Duration::from_millis(1),
        ..Settings::default()
    };
    let given = with(Arc::new(Silent), settings).await;
    given.submit(vec![command(7)]).await;
    let settlement = one_round(&given, 7).await;
    assert!(
        matches!(settlement, Some(Settlement::Postponed { .. })),
        "{settlement:?}"
    );
}

#[tokio::test]
async fn what_could_not_be_delivered_is_a_letter_that_an_operator_sends_again_with_all_patience() {
    use contracts::operators::{Instruction, Replay};
    let refused = MailAnswer::Refused {
        reason: "no such mailbox".to_owned(),
    };
    let (told, _) = ToldMailer::new([try_later(), refused, try_later()]);
    let given = notification(Arc::clone(&told) as _).await;
    given.submit(vec![command(7)]).await;
    let round = async || {
        given.clock.advance(Duration::from_secs(60));
        one_round(&given, 7).await.unwrap();
        given.record(7).await.unwrap().state
    };
    assert_eq!((round().await, round().await), (State::Open, State::Failed));
    let letters = &given.stores.letters;
    let waiting = letters.list(None, 10).await.unwrap();
    let [letter] = waiting.as_slice() else {
        panic!("{waiting:?}")
    };
    assert_eq!(letter.source, "command:7:notify");
    assert!(letter.error.contains("no such mailbox"), "{}", letter.error);
    let by_ann = Instruction {
        operator: "operator:ann".to_owned(),
        reason: "the mailbox exists now".to_owned(),
    };
    for before in [false, true] {
        let replayed = letters.replay(given.clock.now(), letter.id, by_ann.clone()).await;
        assert_eq!(replayed, Ok(Replay::Replayed { before }));
    }
    assert_eq!(letters.list(None, 10).await, Ok(Vec::new()));
    assert_eq!((round().await, round().await), (State::Open, State::Done));
    let sent = told.sent();
    assert_eq!(sent.len(), 4);
    assert!(
        sent.iter().all(|mail| mail.message_id == sent[0].message_id),
        "the same mail"
    );
}

#[tokio::test]
async fn a_row_that_makes_no_sense_is_dead_and_sends_nothing() {
    let (told, _) = ToldMailer::new([]);
    let given = notification(Arc::clone(&told) as _).await;
    given.submit(vec![command(7)]).await;
    let claimed = given.claimed(7).await.unwrap();
    for (content, progress) in [("{}", claimed.progress.as_str()), (claimed.content.as_str(), "soon")] {
        let mut strange = claimed.clone();
        (strange.content, strange.progress) = (content.to_owned(), progress.to_owned());
        let settlement = given.service.handler().handle(strange).await;
        assert!(matches!(settlement, Settlement::Dead { .. }), "{settlement:?}");
    }
    assert!(told.sent().is_empty());
}

#[tokio::test]
async fn dying_between_writing_and_recording_leaves_one_file_with_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let given = notification(Arc::new(mailer(folder.path()))).await;
    given.submit(vec![command(7)]).await;
    let claimed = given.claimed(7).await.unwrap();
    // The mail is written; the process dies before that is recorded.
    let lost = given.service.handler().handle(claimed).await;
    assert!(matches!(lost, Settlement::Finished { .. }));
    let written = files(folder.path());
    assert_eq!(written.len(), 1);

    let given = given.restarted(Arc::new(mailer(folder.path()))).await;
    assert_eq!(
        one_round(&given, 7).await,
        None,
        "the dead worker still holds its lease"
    );
    given.clock.advance(LEASE);
    one_round(&given, 7).await.unwrap();
    assert_eq!(files(folder.path()), written);
    assert_eq!(given.record(7).await.unwrap().state, State::Done);
}

#[tokio::test]
async fn a_worker_whose_lease_ran_out_changes_nothing() {
    let (told, _) = ToldMailer::new([]);
    let given = notification(Arc::clone(&told) as _).await;
    given.submit(vec![command(7)]).await;
    let slow = given.claimed(7).await.unwrap();
    given.clock.advance(LEASE);
    one_round(&given, 7).await.unwrap();
    let failure = Settlement::Dead {
        error: "too late".to_owned(),
    };
    given.settle(&slow, failure).await;
    assert_eq!(given.record(7).await.unwrap().state, State::Done);
}

#[tokio::test(flavor = "multi_thread")]
async fn in_one_process_what_is_accepted_is_delivered_by_itself() {
    let (told, mut seen) = ToldMailer::new([]);
    let given = notification(Arc::clone(&told) as _).await;
    let shutdown = Shutdown::new();
    given.service.start_worker(&shutdown);
    let Given {
        service, stores, rows, ..
    } = given;
    service.start_dispatcher(rows, &shutdown);
    for number in 1..=50 {
        service.client().submit(vec![command(number)]).await.unwrap();
    }
    for _ in 0..50 {
        seen.recv().await.unwrap();
    }
    shutdown.request();
    shutdown.wait(Duration::from_secs(10)).await.unwrap();
    let open = stores.commands.open_count().await.unwrap();
    assert_eq!((open, told.sent().len()), (0, 50));
}

#[tokio::test(flavor = "multi_thread")]
async fn apart_the_queue_wakes_the_worker_up() {
    let (told, mut seen) = ToldMailer::new([]);
    let given = notification(Arc::clone(&told) as _).await;
    let Given {
        service: api,
        stores,
        rows,
        clock,
        transport,
        ..
    } = given;
    let worker = process(&stores, &clock, &transport, told, Settings::default());
    let shutdown = Shutdown::new();
    api.start_dispatcher(rows, &shutdown);
    worker.start_worker(&shutdown);
    for number in 1..=50 {
        api.client().submit(vec![command(number)]).await.unwrap();
    }
    for _ in 0..50 {
        seen.recv().await.unwrap();
    }
    shutdown.request();
    shutdown.wait(Duration::from_secs(10)).await.unwrap();
    let open = stores.commands.open_count().await.unwrap();
    assert_eq!(open, 0);
}
