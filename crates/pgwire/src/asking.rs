//! A connection's statements, simple and prepared.

use std::fmt::Debug;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use arrow_pg::datatypes::df::deserialize_parameters_with_server_types;
use arrow_pg::datatypes::{arrow_schema_to_pg_fields, encode_recordbatch};
use async_trait::async_trait;
use datafusion::arrow::datatypes::{DataType, Schema};
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::common::{ParamValues, ScalarValue};
use futures_util::{Sink, stream};
use pgwire_protocol::api::auth::StartupHandler;
use pgwire_protocol::api::cancel::{CancelHandler, DefaultCancelHandler};
use pgwire_protocol::api::portal::{Format, Portal};
use pgwire_protocol::api::query::{ExtendedQueryHandler, SimpleQueryHandler};
use pgwire_protocol::api::results::{QueryResponse, Response, Tag};
use pgwire_protocol::api::store::PortalStore;
use pgwire_protocol::api::{
    ClientInfo, ClientPortalStore, ConnectionManager, PgWireServerHandlers, RandomPidSecretKeyGenerator,
};
use pgwire_protocol::error::{PgWireError, PgWireResult};
use pgwire_protocol::messages::PgWireBackendMessage;
use pgwire_protocol::types::format::FormatOptions;
use query::{Engine, Limits, Statement};
use record::TenantId;

use crate::catalog::Catalog;
use crate::parsing::{self, Parsing, Prepared, Words};
use crate::settings::Setting;
use crate::{Access, Denied, Parts};

/// What all connections share.
pub(crate) struct House {
    engine: Engine,
    catalog: Catalog,
    limits: Limits,
    access: Access,
    words: Words,
    running: AtomicUsize,
}

impl House {
    pub(crate) fn new(parts: Parts) -> query::Result<Self> {
        let (catalog, engine) = Catalog::new(&parts.engine)?;
        let Parts { limits, access, .. } = parts;
        Ok(Self { engine, catalog, limits, access, words: Words::new(), running: AtomicUsize::new(0) })
    }

    pub(crate) fn threads(&self) -> &tokio::runtime::Handle {
        self.engine.threads()
    }

    /// Whether no statement is being answered.
    pub(crate) fn is_idle(&self) -> bool {
        self.running.load(Ordering::Acquire) == 0
    }
}

/// Counts a statement while it is being answered.
struct Running<'a>(&'a AtomicUsize);

impl<'a> Running<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::AcqRel);
        Self(count)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Whose a connection is, and the engine with that tenant's catalog.
pub(crate) struct Asker {
    pub(crate) tenant: TenantId,
    pub(crate) engine: Engine,
}

/// One connection.
#[derive(Clone)]
pub(crate) struct Connection {
    pub(crate) house: Arc<House>,
    pub(crate) asker: Arc<OnceLock<Asker>>,
    pub(crate) manager: Arc<ConnectionManager>,
    pub(crate) keys: Arc<RandomPidSecretKeyGenerator>,
}

impl Connection {
    pub(crate) fn new(
        house: Arc<House>,
        manager: Arc<ConnectionManager>,
        keys: Arc<RandomPidSecretKeyGenerator>,
    ) -> Self {
        Self { house, asker: Arc::default(), manager, keys }
    }

    /// Lets somebody in, or not.
    pub(crate) async fn admit(&self, shown: Option<(String, String)>) -> Result<(), Denied> {
        let access = Arc::clone(&self.house.access);
        // Looking up a credential reads the disk.
        let checked = tokio::task::spawn_blocking(move || {
            access(shown.as_ref().map(|(user, password)| (user.as_str(), password.as_str())))
        });
        let tenant = checked.await.unwrap_or(Err(Denied::Unavailable))?;
        let engine = self.house.catalog.of(&self.house.engine, &tenant).map_err(|error| {
            tracing::error!(%error, "the catalog of a connection could not be made");
            Denied::Unavailable
        })?;
        self.asker.get_or_init(|| Asker { tenant, engine });
        Ok(())
    }

    pub(crate) fn words(&self) -> &Words {
        &self.house.words
    }

    pub(crate) fn limits(&self) -> Limits {
        self.house.limits
    }

    pub(crate) fn asker(&self) -> PgWireResult<&Asker> {
        self.asker.get().ok_or(PgWireError::NotReadyForQuery)
    }

    async fn ask(
        &self,
        statement: Statement,
        params: Vec<ScalarValue>,
        format: &Format,
        options: FormatOptions,
    ) -> PgWireResult<Response> {
        let _running = Running::new(&self.house.running);
        let Asker { tenant, engine } = self.asker()?;
        let answer = engine.ask(tenant, statement, params, self.limits()).await.map_err(parsing::error)?;
        let batches = answer.batches().map_err(parsing::error)?;
        respond(&answer.schema, batches, format, options)
    }
}

/// Rows, as a client wants them.
fn respond(
    schema: &Schema,
    batches: Vec<RecordBatch>,
    format: &Format,
    options: FormatOptions,
) -> PgWireResult<Response> {
    let fields = Arc::new(arrow_schema_to_pg_fields(schema, format, Some(Arc::new(options)))?);
    let of = Arc::clone(&fields);
    let rows = batches.into_iter().flat_map(move |batch| encode_recordbatch(Arc::clone(&of), batch));
    Ok(Response::Query(QueryResponse::new(fields, stream::iter(rows))))
}

fn settle(setting: &Setting, format: &Format, options: FormatOptions) -> PgWireResult<Response> {
    Ok(match setting {
        Setting::Begin => Response::TransactionStart(Tag::new("BEGIN")),
        Setting::End(tag) => Response::TransactionEnd(Tag::new(tag)),
        Setting::Done(tag) => Response::Execution(Tag::new(tag)),
        Setting::Show(..) => {
            return respond(&setting.schema(), setting.shown().into_iter().collect(), format, options);
        }
        Setting::Unknown(name) => return Err(parsing::unknown_setting(name)),
    })
}

#[async_trait]
impl SimpleQueryHandler for Connection {
    async fn do_query<C>(&self, client: &mut C, query: &str) -> PgWireResult<Vec<Response>>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let statements = self.words().read(query)?;
        if statements.is_empty() {
            return Ok(vec![Response::EmptyQuery]);
        }
        let mut responses = Vec::new();
        for statement in statements {
            let options = FormatOptions::from_client_metadata(client.metadata());
            responses.push(match Setting::of(&statement) {
                Some(setting) => settle(&setting, &Format::UnifiedText, options)?,
                None => {
                    let statement = Statement::parsed(statement).map_err(parsing::error)?;
                    self.ask(statement, Vec::new(), &Format::UnifiedText, options).await?
                }
            });
        }
        Ok(responses)
    }
}

#[async_trait]
impl ExtendedQueryHandler for Connection {
    type Statement = Prepared;
    type QueryParser = Parsing;

    fn query_parser(&self) -> Arc<Self::QueryParser> {
        Arc::new(Parsing(self.clone()))
    }

    async fn do_query<C>(
        &self,
        client: &mut C,
        portal: &Portal<Self::Statement>,
        _: usize,
    ) -> PgWireResult<Response>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Self::Statement>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let options = FormatOptions::from_client_metadata(client.metadata());
        match &portal.statement.statement {
            Prepared::Setting(setting) => settle(setting, &portal.result_column_format, options),
            Prepared::Ask(statement, described) => {
                let types: Vec<Option<&DataType>> = described.params.iter().map(Option::as_ref).collect();
                let wire = parsing::parameter_types(&described.params)?;
                let wire: Vec<_> = wire.iter().map(Some).collect();
                let params = match deserialize_parameters_with_server_types(portal, &types, &wire)? {
                    ParamValues::List(values) => values.into_iter().map(|value| value.value).collect(),
                    ParamValues::Map(_) => Vec::new(),
                };
                self.ask(statement.clone(), params, &portal.result_column_format, options).await
            }
        }
    }
}

impl PgWireServerHandlers for Connection {
    fn simple_query_handler(&self) -> Arc<impl SimpleQueryHandler> {
        Arc::new(self.clone())
    }

    fn extended_query_handler(&self) -> Arc<impl ExtendedQueryHandler> {
        Arc::new(self.clone())
    }

    fn startup_handler(&self) -> Arc<impl StartupHandler> {
        Arc::new(self.clone())
    }

    fn cancel_handler(&self) -> Arc<impl CancelHandler> {
        Arc::new(DefaultCancelHandler::new(Arc::clone(&self.manager)))
    }
}
