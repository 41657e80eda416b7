# The documents are true on a server that has not preloaded the library, where nobody
# but the session works: see test/perl/DocsTest.pm.
use strict;
use warnings;

use DocsTest;
use Test::More;

my $node = docs_server('docs', library => 'session');

run_documents();
reference_is_complete();
links_lead_somewhere();
messages_exist();

$node->stop;
done_testing();
