//! What every store of users must do.

use std::sync::Arc;

use auth::domain::user::{Password, Profile, Registration, Taken};
use auth::ports::{Credentials, Insertion, UserStore};
use contracts::UserId;
use contracts::clients::User;
use futures::future::join_all;

use crate::given::noon;

fn profile(username: &str, email: &str) -> Profile {
    let registration = Registration {
        username: username.to_owned(),
        first_name: "Grace".to_owned(),
        last_name: "Hopper".to_owned(),
        email: email.to_owned(),
        password: Password::new("password".to_owned()),
    };
    Profile::try_new(registration).unwrap().0
}

async fn insert(store: &dyn UserStore, username: &str, email: &str) -> Insertion {
    store
        .insert(noon(), profile(username, email), "a hash".to_owned())
        .await
        .unwrap()
}

fn created(number: i64) -> Insertion {
    Insertion::Created(UserId::try_new(number).unwrap())
}

pub(super) async fn the_first_person_is_user_2_even_before_the_hot_wallet_is_there(store: Arc<dyn UserStore>) {
    assert_eq!(insert(&*store, "grace", "grace@example.com").await, created(2));
    assert!(store.insert_hot_wallet(noon()).await.unwrap());
    assert_eq!(insert(&*store, "ada", "ada@example.com").await, created(3));
}

pub(super) async fn the_hot_wallet_is_user_1_once_and_has_no_credentials(store: Arc<dyn UserStore>) {
    assert_eq!(store.user(UserId::HOT_WALLET).await.unwrap(), None);
    assert!(store.insert_hot_wallet(noon()).await.unwrap());
    assert!(!store.insert_hot_wallet(noon()).await.unwrap());
    let user = store.user(UserId::HOT_WALLET).await.unwrap().unwrap();
    assert_eq!((user.id, user.username.as_str()), (UserId::HOT_WALLET, "hot_wallet"));
    let credentials = store.credentials("hot_wallet".to_owned()).await.unwrap();
    let expected = Credentials {
        user_id: UserId::HOT_WALLET,
        password_hash: None,
    };
    assert_eq!(credentials, Some(expected));
    assert_eq!(insert(&*store, "grace", "grace@example.com").await, created(2));
}

pub(super) async fn of_many_who_add_the_hot_wallet_at_once_one_does(store: Arc<dyn UserStore>) {
    let wishes = (0..20).map(|_| {
        let store = Arc::clone(&store);
        tokio::spawn(async move { store.insert_hot_wallet(noon()).await.unwrap() })
    });
    let added = join_all(wishes).await.into_iter().map(Result::unwrap);
    assert_eq!(added.filter(|added| *added).count(), 1);
}

pub(super) async fn names_and_addresses_are_unique_whatever_their_case(store: Arc<dyn UserStore>) {
    insert(&*store, "Grace", "Grace@Example.com").await;
    let (yes, no) = (true, false);
    for (username, email, expected) in [
        ("gRACE", "other@example.com", (yes, no)),
        ("other", "gRACE@eXAMPLE.COM", (no, yes)),
        ("grace", "grace@example.com", (yes, yes)),
    ] {
        let taken = Taken {
            username: expected.0,
            email: expected.1,
        };
        assert_eq!(
            insert(&*store, username, email).await,
            Insertion::Taken(taken),
            "{username}"
        );
        let identity = profile(username, email).identity();
        assert_eq!(store.taken(identity).await.unwrap(), taken, "{username}");
    }
    let free = profile("other", "other@example.com").identity();
    assert_eq!(store.taken(free).await.unwrap(), Taken::default());
}

pub(super) async fn a_refused_user_leaves_no_trace(store: Arc<dyn UserStore>) {
    insert(&*store, "grace", "grace@example.com").await;
    insert(&*store, "grace", "other@example.com").await;
    assert_eq!(insert(&*store, "other", "other@example.com").await, created(3));
}

pub(super) async fn a_user_is_read_as_registered_and_credentials_by_lower_case_name(store: Arc<dyn UserStore>) {
    insert(&*store, "Grace", "Grace@Example.com").await;
    let id = UserId::try_new(2).unwrap();
    let expected = User {
        id,
        username: "Grace".to_owned(),
        first_name: "Grace".to_owned(),
        last_name: "Hopper".to_owned(),
        email: "Grace@Example.com".to_owned(),
    };
    assert_eq!(store.user(id).await.unwrap(), Some(expected));
    assert_eq!(store.user(UserId::try_new(3).unwrap()).await.unwrap(), None);
    let expected = Credentials {
        user_id: id,
        password_hash: Some("a hash".to_owned()),
    };
    assert_eq!(store.credentials("grace".to_owned()).await.unwrap(), Some(expected));
    assert_eq!(store.credentials("nobody".to_owned()).await.unwrap(), None);
}

pub(super) async fn what_can_be_nobody_s_name_has_no_credentials(store: Arc<dyn UserStore>) {
    insert(&*store, "grace", "grace@example.com").await;
    for name in ["", "gr\0ace", "grace\0", "' OR '1' = '1", "\u{10ffff}"] {
        assert_eq!(store.credentials(name.to_owned()).await, Ok(None), "{name:?}");
    }
}

pub(super) async fn of_fifty_who_want_one_name_at_once_one_gets_it(store: Arc<dyn UserStore>) {
    let wishes = (0..50).map(|i| {
        let store = Arc::clone(&store);
        tokio::spawn(async move { insert(&*store, "grace", &format!("grace{i}@example.com")).await })
    });
    let outcomes: Vec<_> = join_all(wishes).await.into_iter().map(Result::unwrap).collect();
    let name = Insertion::Taken(Taken {
        username: true,
        email: false,
    });
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == created(2)).count(), 1);
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == name).count(), 49);
}

pub(super) async fn fifty_who_register_at_once_get_the_next_fifty_numbers(store: Arc<dyn UserStore>) {
    let wishes = (0..50).map(|i| {
        let store = Arc::clone(&store);
        tokio::spawn(async move { insert(&*store, &format!("user{i}"), &format!("user{i}@example.com")).await })
    });
    let mut numbers: Vec<_> = join_all(wishes)
        .await
        .into_iter()
        .map(|outcome| match outcome.unwrap() {
            Insertion::Created(user) => user.get(),
            Insertion::Taken(taken) => panic!("{taken:?}"),
        })
        .collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (2..=51).collect::<Vec<_>>());
}
