//! Who connects: name and password, which is a credential's (docs/identity.md).

use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::{Sink, SinkExt};
use pgwire_protocol::api::auth::{
    DefaultServerParameterProvider, StartupHandler, finish_authentication, protocol_negotiation,
    save_startup_parameters_to_metadata,
};
use pgwire_protocol::api::{
    ClientInfo, ConnectionGuard, ConnectionHandle, METADATA_USER, PgWireConnectionState,
    PidSecretKeyGenerator, RandomPidSecretKeyGenerator,
};
use pgwire_protocol::error::{ErrorInfo, PgWireError, PgWireResult};
use pgwire_protocol::messages::startup::Authentication;
use pgwire_protocol::messages::{PgWireBackendMessage, PgWireFrontendMessage};

use crate::Denied;
use crate::asking::Connection;

pub(crate) fn keys() -> RandomPidSecretKeyGenerator {
    RandomPidSecretKeyGenerator::default()
}

#[async_trait]
impl StartupHandler for Connection {
    async fn on_startup<C>(&self, client: &mut C, message: PgWireFrontendMessage) -> PgWireResult<()>
    where
        C: ClientInfo + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        match message {
            PgWireFrontendMessage::Startup(ref startup) => {
                protocol_negotiation(client, startup).await?;
                save_startup_parameters_to_metadata(client, startup);
                client.set_state(PgWireConnectionState::AuthenticationInProgress);
                // Where nothing has to be shown, nothing is asked for.
                match self.admit(None).await {
                    Ok(()) => self.welcome(client).await,
                    Err(Denied::Credentials) => {
                        let ask = Authentication::CleartextPassword;
                        Ok(client.send(PgWireBackendMessage::Authentication(ask)).await?)
                    }
                    Err(denied) => Err(refusal(denied, "")),
                }
            }
            PgWireFrontendMessage::PasswordMessageFamily(password) => {
                let password = password.into_password()?.password;
                let user = client.metadata().get(METADATA_USER).cloned().unwrap_or_default();
                match self.admit(Some((user.clone(), password))).await {
                    Ok(()) => self.welcome(client).await,
                    Err(denied) => Err(refusal(denied, &user)),
                }
            }
            _ => Ok(()),
        }
    }
}

impl Connection {
    async fn welcome<C>(&self, client: &mut C) -> PgWireResult<()>
    where
        C: ClientInfo + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let (pid, key) = self.keys.generate(client);
        client.set_pid_and_secret_key(pid, key.clone());
        let (handle, guard) = self.manager.register(pid, key);
        client.session_extensions().insert::<Arc<ConnectionHandle>>(handle);
        client.session_extensions().insert::<ConnectionGuard>(guard);
        let mut parameters = DefaultServerParameterProvider::default();
        parameters.server_version = crate::settings::VERSION.to_owned();
        parameters.is_superuser = false;
        parameters.default_transaction_read_only = true;
        finish_authentication(client, &parameters).await
    }
}

fn refusal(denied: Denied, user: &str) -> PgWireError {
    let (code, words) = match denied {
        Denied::Credentials => ("28P01", format!("password authentication failed for user {user:?}")),
        Denied::Forbidden => (
            "42501",
            "this credential may not read everything of its tenant, and SQL shows everything".to_owned(),
        ),
        Denied::Unavailable => ("57P03", "credentials cannot be checked now; try again".to_owned()),
    };
    PgWireError::UserError(Box::new(ErrorInfo::new("FATAL".to_owned(), code.to_owned(), words)))
}
