# The documents are true on a server that has not preloaded the library, where nobody
# but the session works: see test/perl/DocsTest.pm.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../perl";
use DocsTest;
use Test::More;

my $node = docs_server('docs', "session_preload_libraries = 'leadscore'\n");

run_documents();
reference_is_complete();
links_lead_somewhere();

$node->stop;
done_testing();
