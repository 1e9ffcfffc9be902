//! Streams and consumers: made where they are missing, compared where they are there.
//!
//! What is there is never configured again: a server forgets delayed messages when a stream's configuration is applied, and
//! an operator may have changed a bound for a reason. What would break a promise is refused; the rest is told.

use std::time::Duration;

use async_nats::jetstream::consumer::{self, AckPolicy, PullConsumer, pull};
use async_nats::jetstream::context::{CreateStreamErrorKind, GetStreamErrorKind};
use async_nats::jetstream::stream::{Config, ConsumerErrorKind, DiscardPolicy, RetentionPolicy, StorageType};
use async_nats::jetstream::{Context, ErrorCode};
use contracts::messages::Queue;
use thiserror::Error;

use super::settings::{Bounds, Times};

/// How long the server remembers the ids of publications, so that one whose acknowledgement got lost is not stored twice.
/// An optimisation: receivers are idempotent.
const DUPLICATES: Duration = Duration::from_secs(120);

/// How long a stream that is gone is left alone before it is made again. A server that is still removing the files of the old
/// one (2.9 tells of the removal before it has done it) removes those of a new one with them, and stores nothing in it ever after.
pub(super) const REST: Duration = Duration::from_millis(500);

/// Why a queue is not there.
#[derive(Debug, Error)]
pub(super) enum StreamError {
    /// Nobody knows; it is tried again.
    #[error("{0}")]
    Unavailable(String),
    /// It is there, and not ours, or the server refuses it for good.
    #[error("{0}")]
    Wrong(String),
}

fn wanted(queue: Queue, bounds: &Bounds) -> Config {
    Config {
        name: queue.as_str().to_owned(),
        subjects: vec![queue.as_str().to_owned()],
        retention: RetentionPolicy::WorkQueue,
        storage: StorageType::File,
        discard: DiscardPolicy::New,
        max_messages: i64::from(bounds.queue_envelopes),
        max_bytes: i64::from(bounds.queue_bytes),
        max_age: Duration::ZERO,
        num_replicas: usize::from(bounds.replicas),
        duplicate_window: DUPLICATES,
        ..Config::default()
    }
}

fn wanted_consumer(queue: Queue, bounds: &Bounds, times: &Times) -> pull::Config {
    pull::Config {
        durable_name: Some(queue.as_str().to_owned()),
        ack_policy: AckPolicy::Explicit,
        ack_wait: times.ack_wait,
        // Without end: only what cannot be read is given up, by us.
        max_deliver: -1,
        max_ack_pending: i64::from(bounds.unacknowledged),
        ..pull::Config::default()
    }
}

/// Makes the stream of a queue, or compares it. Several processes may do so at once. Whether it had to be made.
pub(super) async fn ensure(context: &Context, queue: Queue, bounds: &Bounds) -> Result<bool, StreamError> {
    let wanted = wanted(queue, bounds);
    if let Some(found) = find(context, queue).await? {
        return compare(&wanted, &found).map(|()| false);
    }
    match context.create_stream(wanted.clone()).await {
        Ok(_) => Ok(true),
        Err(error) => match error.kind() {
            CreateStreamErrorKind::JetStream(refusal) if refusal.error_code() == ErrorCode::STREAM_NAME_EXIST => {
                match find(context, queue).await? {
                    Some(found) => compare(&wanted, &found).map(|()| false),
                    None => Err(StreamError::Unavailable("its stream comes and goes".to_owned())),
                }
            }
            CreateStreamErrorKind::JetStream(refusal) if refusal.code() < 500 => {
                Err(StreamError::Wrong(refusal.to_string()))
            }
            CreateStreamErrorKind::EmptyStreamName
            | CreateStreamErrorKind::InvalidStreamName
            | CreateStreamErrorKind::DomainAndExternalSet
            | CreateStreamErrorKind::JetStreamUnavailable
            | CreateStreamErrorKind::JetStream(_)
            | CreateStreamErrorKind::TimedOut
            | CreateStreamErrorKind::Response
            | CreateStreamErrorKind::NotFound
            | CreateStreamErrorKind::ResponseParse => Err(StreamError::Unavailable(error.to_string())),
        },
    }
}

/// Whether the stream of a queue is there.
pub(super) async fn is_there(context: &Context, queue: Queue) -> Result<bool, StreamError> {
    Ok(find(context, queue).await?.is_some())
}

async fn find(context: &Context, queue: Queue) -> Result<Option<Config>, StreamError> {
    match context.get_stream(queue.as_str()).await {
        Ok(stream) => Ok(Some(stream.cached_info().config.clone())),
        Err(error) => match error.kind() {
            GetStreamErrorKind::JetStream(refusal) => match refusal.error_code() {
                ErrorCode::STREAM_NOT_FOUND => Ok(None),
                ErrorCode::JETSTREAM_NOT_ENABLED_FOR_ACCOUNT => Err(StreamError::Wrong(refusal.to_string())),
                _ => Err(StreamError::Unavailable(refusal.to_string())),
            },
            // Where nobody answers for JetStream it is not enabled, or not yet.
            GetStreamErrorKind::Request => Err(StreamError::Unavailable(format!("JetStream does not answer: {error}"))),
            GetStreamErrorKind::EmptyName | GetStreamErrorKind::InvalidStreamName => {
                Err(StreamError::Wrong(error.to_string()))
            }
        },
    }
}

fn compare(wanted: &Config, found: &Config) -> Result<(), StreamError> {
    let vital = [
        ("retention", wanted.retention == found.retention),
        ("storage", wanted.storage == found.storage),
        ("discard", wanted.discard == found.discard),
        ("subjects", wanted.subjects == found.subjects),
        ("max_age", wanted.max_age == found.max_age),
        ("no_ack", wanted.no_ack == found.no_ack),
        // What is larger would be refused in nearly the words for a full queue, and be sent again for ever.
        ("max_msg_size", found.max_message_size <= 0),
    ];
    if let Some((what, _)) = vital.iter().find(|(_, same)| !same) {
        let name = &found.name;
        return Err(StreamError::Wrong(format!(
            "there is a stream {name} whose {what} is not ours; remove it (`nats stream rm {name}`), nothing is lost by that"
        )));
    }
    let bounds = [
        ("max_msgs", wanted.max_messages == found.max_messages),
        ("max_bytes", wanted.max_bytes == found.max_bytes),
        ("num_replicas", wanted.num_replicas == found.num_replicas),
    ];
    for (what, _) in bounds.iter().filter(|(_, same)| !same) {
        tracing::warn!(
            stream = found.name,
            what,
            "a stream's bound is not the configured one; it is left as it is"
        );
    }
    Ok(())
}

/// With fewer deliveries messages would be given up unseen, with a shorter wait what one works on would go to others, and
/// without its content an envelope would be a dead letter.
fn compare_consumer(wanted: &pull::Config, found: &consumer::Config) -> Result<(), StreamError> {
    let name = found.durable_name.as_deref().unwrap_or_default();
    let vital = [
        ("ack_policy", wanted.ack_policy == found.ack_policy),
        ("max_deliver", found.max_deliver <= 0),
        ("ack_wait", wanted.ack_wait <= found.ack_wait),
        ("headers_only", wanted.headers_only == found.headers_only),
    ];
    if let Some((what, _)) = vital.iter().find(|(_, same)| !same) {
        return Err(StreamError::Wrong(format!(
            "there is a consumer {name} whose {what} is not ours; remove it (`nats consumer rm {name} {name}`), nothing is \
             lost by that"
        )));
    }
    let bounds = [
        ("ack_wait", wanted.ack_wait == found.ack_wait),
        ("max_ack_pending", wanted.max_ack_pending == found.max_ack_pending),
        ("filter_subject", wanted.filter_subject == found.filter_subject),
    ];
    for (what, _) in bounds.iter().filter(|(_, same)| !same) {
        tracing::warn!(
            consumer = name,
            what,
            "a consumer's bound is not the configured one; it is left as it is"
        );
    }
    Ok(())
}

/// The consumer of a queue, made where it is missing, with its stream. Whether it had to be made.
pub(super) async fn consumer(
    context: &Context,
    queue: Queue,
    bounds: &Bounds,
    times: &Times,
) -> Result<(PullConsumer, bool), StreamError> {
    let name = queue.as_str();
    match context.get_consumer_from_stream::<pull::Config, _, _>(name, name).await {
        Ok(consumer) => {
            compare_consumer(&wanted_consumer(queue, bounds, times), &consumer.cached_info().config)?;
            Ok((consumer, false))
        }
        Err(error) => match error.kind() {
            ConsumerErrorKind::JetStream(refusal) if is_absent(refusal.error_code()) => {
                ensure(context, queue, bounds).await?;
                let wanted = wanted_consumer(queue, bounds, times);
                let made = context.create_consumer_on_stream(wanted, name).await;
                made.map(|consumer| (consumer, true))
                    .map_err(|error| StreamError::Unavailable(error.to_string()))
            }
            ConsumerErrorKind::TimedOut
            | ConsumerErrorKind::Request
            | ConsumerErrorKind::InvalidConsumerType
            | ConsumerErrorKind::InvalidName
            | ConsumerErrorKind::JetStream(_)
            | ConsumerErrorKind::Other => Err(StreamError::Unavailable(error.to_string())),
        },
    }
}

/// Whether an answer says that the stream or the consumer is not there.
pub(super) fn is_absent(code: ErrorCode) -> bool {
    matches!(code, ErrorCode::STREAM_NOT_FOUND | ErrorCode::CONSUMER_NOT_FOUND)
}
