//! A reading goes in, is acknowledged, and comes out: through every floor of the house, in the real binary.

mod account;
mod alerts;
mod cold;
mod demo;
mod devices;
mod expired;
mod http;
mod mqtt;
mod receiver;
mod reprocess;
mod required;
mod restart;
mod restored;
mod routes;
mod schemas;
mod tls;
mod trace;
