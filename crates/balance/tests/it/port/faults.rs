//! What only happens between processes: who may not come in is told what to change, and a ledger that dies in the middle of
//! a batch has booked nothing twice.

use std::sync::Arc;

use contracts::clients::{Balance as _, ClientError};
use contracts::ledger::PostingOutcome;
use service_kit::shutdown::Shutdown;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use transport::http::Options;

use super::{once, serve_on, served, service, tokens, way_to};
use crate::given::{POSTED, fresh_books, pay_in, usd, user};

#[tokio::test]
async fn who_is_not_let_in_is_told_which_setting_to_change_and_has_done_nothing() {
    let given = fresh_books();
    let service = service(Arc::clone(&given.ledger), tokens());
    let right = served(&service).await;
    let elsewhere = format!("{right}/balance");
    for (address, token, setting) in [
        (&right, "nobodys-token", "CAMBIST_INTERNAL_TOKEN)"),
        (&right, "token-of-notification", "is not for notification"),
        (&elsewhere, "token-of-wallet", "CAMBIST_BALANCE_URL"),
    ] {
        let balance = way_to(address, token, once());
        let denied = |error: Option<ClientError>| match error {
            Some(ClientError::Denied(detail)) => assert!(detail.contains(setting), "{detail}"),
            other => panic!("{token} at {address}: {other:?}"),
        };
        denied(balance.open_wallet(user(2)).await.err());
        denied(balance.wallet(user(2)).await.err());
        denied(balance.statement(user(2), None, 1).await.err());
        denied(balance.post(vec![pay_in(1, 2, usd("1"))]).await.err());
    }
    let exchanger = way_to(&right, "token-of-exchanger", once());
    assert!(matches!(
        exchanger.open_wallet(user(2)).await,
        Err(ClientError::Denied(_))
    ));
    assert_eq!(
        exchanger.wallet(user(2)).await,
        Ok(None),
        "this it may ask, and nobody opened one"
    );
    assert_eq!(given.ledger.check_books().await.unwrap().transfers, 0);
}

/// Passes connections on to whoever is behind it; of the second answer it passes on nothing.
struct Between {
    address: String,
    /// Told when the answer got lost; wants a new address to go on.
    lost: mpsc::Receiver<mpsc::Sender<String>>,
}

async fn between(first: String) -> Between {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (tell, lost) = mpsc::channel(1);
    tokio::spawn(async move {
        let (mut behind, mut answers) = (first, 0);
        while let Ok((mut front, _)) = listener.accept().await {
            let mut back = TcpStream::connect(behind.trim_start_matches("http://")).await.unwrap();
            loop {
                let (mut asked, mut answered) = ([0; 16 * 1024], [0; 64 * 1024]);
                tokio::select! {
                    read = front.read(&mut asked) => match read {
                        Ok(length @ 1..) => back.write_all(&asked[..length]).await.unwrap(),
                        _ => break,
                    },
                    read = back.read(&mut answered) => {
                        let Ok(length @ 1..) = read else { break };
                        answers += usize::from(answered.starts_with(b"HTTP/1.1 200"));
                        if answers == 2 {
                            // The books were written, and nobody hears of it.
                            answers += 1;
                            let (reply, mut new) = mpsc::channel(1);
                            drop(front);
                            tell.send(reply).await.unwrap();
                            behind = new.recv().await.unwrap();
                            break;
                        }
                        front.write_all(&answered[..length]).await.unwrap();
                    }
                }
            }
        }
    });
    Between { address, lost }
}

#[tokio::test]
async fn a_ledger_that_dies_after_booking_and_before_answering_books_nothing_twice() {
    let given = fresh_books();
    let begin = |ledger| service(ledger, tokens());
    let (shutdown, socket) = (Shutdown::new(), TcpListener::bind("127.0.0.1:0").await.unwrap());
    let first = format!("http://{}", socket.local_addr().unwrap());
    let dying = begin(Arc::clone(&given.ledger));
    dying.client().open_wallet(user(2)).await.unwrap();
    serve_on(socket, &dying, &shutdown);

    let mut between = between(first).await;
    let balance = way_to(&between.address, "token-of-wallet", Options::default());
    let postings: Vec<_> = (1..=250).map(|number| pay_in(number, 2, usd("1"))).collect();
    let call = tokio::spawn(async move { (balance.post(postings).await, balance) });

    let go_on = between.lost.recv().await.unwrap();
    shutdown.request();
    drop(dying);
    let reborn = begin(Arc::clone(&given.ledger));
    go_on.send(served(&reborn).await).await.unwrap();

    let (outcomes, _balance) = call.await.unwrap();
    let outcomes = outcomes.unwrap();
    let again = PostingOutcome::Posted { replayed: true };
    assert!(outcomes[..100].iter().all(|outcome| *outcome == POSTED));
    assert!(
        outcomes[100..200].iter().all(|outcome| *outcome == again),
        "known already"
    );
    assert!(outcomes[200..].iter().all(|outcome| *outcome == POSTED));
    let books = given.ledger.check_books().await.unwrap();
    assert_eq!(books.transfers, 250);
    let wallet = reborn.client().wallet(user(2)).await.unwrap().unwrap();
    assert!(wallet.balances.contains(&usd("250")), "{wallet:?}");
}
