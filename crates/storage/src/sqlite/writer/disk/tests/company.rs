//! Who waits for company, and who does not.

use std::time::Instant;

use super::{Duration, Given, Told, a_disk};

const AN_HOUR: Duration = Duration::from_secs(60 * 60);

impl Given {
    /// Two jobs in one group, for which the disk is asked.
    async fn two_together(self) -> (Self, [Told<usize>; 2]) {
        let (first, inside) = self.write_slowly();
        inside.await.unwrap();
        let (second, _) = self.write(101);
        while self.writer.waiting() == 0 {
            tokio::task::yield_now().await;
        }
        self.go_on.send(()).unwrap();
        (self.disk_is_asked().await, [first, second])
    }
}

async fn answered(together: [Told<usize>; 2]) {
    for written in together {
        assert_eq!(written.await.unwrap(), Ok(1));
    }
}

#[tokio::test]
async fn company_is_waited_for_where_the_group_before_had_some() {
    let company = Duration::from_millis(200);
    let (given, together) = a_disk(company).two_together().await;
    let begun = Instant::now();
    let (next, inside) = given.write(2);
    inside.await.unwrap();
    given.disk.send(Ok(())).unwrap();
    answered(together).await;
    let given = given.disk_is_asked().await;
    assert!(begun.elapsed() >= company, "it went as soon as the disk was free");
    given.disk.send(Ok(())).unwrap();
    assert_eq!(next.await.unwrap(), Ok(1));
}

#[tokio::test]
async fn who_comes_alone_when_all_are_answered_waits_for_no_company_and_nor_does_the_next() {
    let (given, together) = a_disk(AN_HOUR).two_together().await;
    given.disk.send(Ok(())).unwrap();
    answered(together).await;
    let (alone, _) = given.write(1);
    let given = given.disk_is_asked().await;
    // The group before the one before had company, the last one had none.
    let (next, inside) = given.write(2);
    inside.await.unwrap();
    given.disk.send(Ok(())).unwrap();
    assert_eq!(alone.await.unwrap(), Ok(1));
    let given = given.disk_is_asked().await;
    given.disk.send(Ok(())).unwrap();
    assert_eq!(next.await.unwrap(), Ok(1));
}

#[tokio::test]
async fn whoever_asks_for_the_next_thing_when_answered_waits_for_no_company() {
    let mut given = a_disk(AN_HOUR);
    for number in 0..20 {
        let (written, _) = given.write(number);
        given = given.disk_is_asked().await;
        given.disk.send(Ok(())).unwrap();
        let answered = tokio::time::timeout(Duration::from_secs(60), written);
        assert_eq!(answered.await.expect("an hour of company").unwrap(), Ok(1));
    }
}
