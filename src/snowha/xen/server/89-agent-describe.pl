package Snow::Agent;
use strict;

our ($OK, $INSTALLED, $CONFIGURED, $name, $config);    # 90-agent.pl has their values

sub _validate {
    my ($read, $why) = Snow::Host::config($config);
    return _fail($INSTALLED, $why) unless $read;
    return _fail($CONFIGURED, "$config is the config of $read->{name}, not of $name") if ($read->{name} // $name) ne $name;
    return $OK;
}

sub _metadata {
    my @parameters = (
        ['xmfile', 1, 'Config of the domain', 'Path of the xl.cfg(5) file that the domain is started from. The same on all servers.'],
        ['name', 0, 'Name of the domain', 'The name that the config gives the domain. Read from the config if it is not set.'],
    );
    my $parameters = join "\n", map {
        my ($key, $required, $short, $long) = @$_;
        my $unique = $key eq 'xmfile' ? 1 : 0;
        qq{<parameter name="$key" unique="$unique" required="$required">\n<longdesc lang="en">$long</longdesc>\n}
            . qq{<shortdesc lang="en">$short</shortdesc>\n<content type="string" default=""/>\n</parameter>}
    } @parameters;
    my @actions = (
        [start => 180], [stop => 240], ['monitor', 90, ' depth="0" interval="60s"'], [migrate_to => 600], [migrate_from => 180],
        ['meta-data', 5], ['validate-all', 30],
    );
    my $actions = join "\n", map { qq{<action name="$_->[0]" timeout="$_->[1]s"} . ($_->[2] // '') . '/>' } @actions;
    return <<"XML";
<?xml version="1.0"?>
<!DOCTYPE resource-agent SYSTEM "ra-api-1.dtd">
<resource-agent name="domain" version="1.0">
<version>1.0</version>
<longdesc lang="en">
A Xen domain whose images several servers share. "Does not run" is said only when the hypervisor answered so. A stop succeeds only when
the domain is gone and none of its images is attached on this server. Images are attached with a lease, which a live migration hands over.
</longdesc>
<shortdesc lang="en">A Xen domain with a lease on each of its images</shortdesc>
<parameters>
$parameters
</parameters>
<actions>
$actions
</actions>
</resource-agent>
XML
}
